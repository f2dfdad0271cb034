"""Draws the pictures of the documentation: `python docs/pictures/draw.py` writes the .svg files beside it."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import NamedTuple

WIDTH, ROW, BOX, TALL = 860, 86, 340, 56
LEFT, RIGHT = 30, 490
LINES = "\n"
STYLE = """
  text { font: 14px system-ui, sans-serif; fill: #1f2328 } .file { font: 12px ui-monospace, monospace; fill: #57606a }
  .head { font-weight: 600; font-size: 16px } rect { fill: #f6f8fa; stroke: #8c959f }
  .disk { fill: #ddf4ff; stroke: #218bff }
  path { fill: none; stroke: #57606a; stroke-width: 1.5 } marker path { fill: #57606a; stroke: none }
  .back { fill: #ffffff; stroke: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .file { fill: #9198a1 } rect { fill: #161b22; stroke: #656c76 } .back { fill: #0d1117 }
    .disk { fill: #0c2d6b; stroke: #4493f8 } path { stroke: #9198a1 } marker path { fill: #9198a1 }
  }
"""


class Step(NamedTuple):
    what: str
    file: str
    disk: bool = False  # something is on disk when it is over


ACCEPTED = [
    Step("The request is checked", "web/protection/request_hooks.py"),
    Step("It is parsed", "web/routes/tasks.py"),
    Step("The task is checked against its kind", "service/tasks.py"),
    Step("Row and event, COMMIT", "store/sqlite/database.py", disk=True),
    Step("202 is sent; the dispatcher is notified", "runtime/life.py"),
    Step("A free slot claims it, COMMIT", "engine/dispatcher.py", disk=True),
    Step("The handler runs; each step, COMMIT", "engine/attempt.py, context.py", disk=True),
    Step("What the end means is decided", "core/lifecycle.py"),
    Step("End and event, COMMIT", "store/tasks.py", disk=True),
]
RESUMED = [
    Step("kill -9", "nothing runs; the row says processing"),
    Step("The next start takes the lock", "store/sqlite/lock.py"),
    Step("Check, migrate", "runtime/storage.py"),
    Step("Whether at once or after a pause is decided", "core/lifecycle.py"),
    Step("What ran is given back, COMMIT", "engine/upkeep/recovery.py", disk=True),
    Step("A free slot claims it, COMMIT", "engine/dispatcher.py", disk=True),
    Step("Recorded steps are read, not run again", "engine/steps.py"),
]


def column(x: int, title: str, steps: list[Step]) -> list[str]:
    parts = [f'<text class="head" x="{x}" y="30">{escape(title)}</text>']
    for number, step in enumerate(steps):
        y = 48 + number * ROW
        kind = ' class="disk"' if step.disk else ""
        parts += [
            f'<rect{kind} x="{x}" y="{y}" width="{BOX}" height="{TALL}" rx="6"/>',
            f'<text x="{x + 14}" y="{y + 24}">{escape(step.what)}</text>',
            f'<text class="file" x="{x + 14}" y="{y + 44}">{escape(step.file)}</text>',
        ]
        if number + 1 < len(steps):
            middle = x + BOX // 2
            parts.append(f'<path d="M{middle} {y + TALL} V{y + ROW - 4}" marker-end="url(#end)"/>')
    return parts


def how_it_runs() -> str:
    height = 48 + len(ACCEPTED) * ROW
    # From the end of the resumption into the handler.
    y, into = 48 + (len(RESUMED) - 1) * ROW + TALL // 2, 48 + 6 * ROW + TALL // 2
    arrow = f'<path d="M{RIGHT} {y} H{LEFT + BOX + 6}" marker-end="url(#end)"/>' if y == into else ""
    title = "From the request to the end of a task, and from a kill to the step it goes on from"
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">
<title>{title}</title>
<style>{STYLE}</style>
<defs>
<marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
<path d="M0 0 L8 4 L0 8 z"/>
</marker>
</defs>
<rect class="back" width="{WIDTH}" height="{height}"/>
{LINES.join(column(LEFT, "POST /tasks/<kind>", ACCEPTED))}
{LINES.join(column(RIGHT, "kill -9", RESUMED))}
{arrow}
</svg>
"""


PICTURES = {"how-it-runs.svg": how_it_runs}

if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (Path(__file__).parent / name).write_text(draw(), "utf-8")
