"""Somebody else's HTTP server again, with several places to ask."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import Any

from tests.upstream import Behaviour, Upstream, answering


def document(value: Any) -> Behaviour:
    """Answers with this as JSON."""
    return answering(200, json.dumps(value).encode())


class Places(Upstream):
    """`answers`: what it does where; 404 elsewhere. One request a connection; it notices when its client hangs up."""

    def __init__(self, answers: Mapping[str, Behaviour]) -> None:
        super().__init__()
        self.answers = dict(answers)
        self.paths: list[str] = []
        self.heads: list[bytes] = []
        self.open = 0

    @property
    def base(self) -> str:
        return self.url.removesuffix("/fact")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            self.paths.append(head.split(b" ")[1].decode())
            behave = self.answers.get(self.paths[-1], answering(404))
            doing = [asyncio.ensure_future(behave(self, writer)), asyncio.ensure_future(reader.read())]
            try:
                await asyncio.wait(doing, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in doing:
                    one.cancel()
                await asyncio.gather(*doing, return_exceptions=True)
        self.open -= 1
        writer.close()
