"""`stream-words`: a text appears word by word. After a crash it goes on with the words that nobody has seen."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

from msgspec import Meta

from quart_app.engine import TaskContext, task

TEXT: Final = """\
Every evening the keeper climbs the ninety steps of the tower and writes one line in a thick green book. She writes
down the wind, the height of the waves, and the name of each ship that passes the rocks. Nobody asks her to. The lamp
has had an engine of its own for thirty years, and a satellite knows the weather better than she does. Still she
writes. When a storm once tore the door from its hinges and drowned the lower rooms, the first thing she looked for
was the book, high on its shelf, and it was dry. The last line said that a ship was coming in from the west. So she
took her pen, found the place where she had stopped, looked out over the dark water, and there it was, a small light
that rose and fell. She wrote its name below the others. Then she put the kettle on."""
CHUNK: Final = 10  # words in a step

Text = Annotated[str, Meta(min_length=1, max_length=10_000, description="The words; blanks and line ends part them")]
Delay = Annotated[float, Meta(ge=0, le=2, description="Seconds between two words")]


@task("stream-words", timeout=3 * 3600)
async def stream_words(ctx: TaskContext, text: Text = TEXT, delay: Delay = 0.15) -> dict[str, Any]:
    """Emit a text word by word, each with its place in the text."""
    words = text.split()
    await ctx.progress(0, len(words))
    for start in range(0, len(words), CHUNK):
        said = await ctx.step(f"words-{start}", say, ctx, words, start, delay)
        await ctx.progress(said, len(words))
    return {"words": len(words)}


async def say(ctx: TaskContext, words: list[str], start: int, delay: float) -> int:
    """Emit the words of one step; how many were said by then. A step that a crash interrupts is run again and says its
    words again, so each comes with its place: a reader puts it there, whether it is new or not."""
    chunk = words[start : start + CHUNK]
    for at, word in enumerate(chunk, start):
        await ctx.emit({"at": at, "word": word})
        await asyncio.sleep(delay)
    return start + len(chunk)
