"""What the tests of the source documents share: the documents' own curl lines, asked of a server of the test."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any, Final, NamedTuple

import pytest

from tests.acceptance.harness import Server

LOCAL: Final = "http://localhost:8000"
POST_JSON: Final = ("-H", "Content-Type: application/json", "-d")


class Answer(NamedTuple):
    """`media` is the media type without parameters."""

    status: int
    media: str
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def answer(server: Server | str, *arguments: str) -> Answer:
    """To `curl ARGUMENTS` as a document has it, from this server (or the one at this URL) in the place of its own."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("CURL IS NOT INSTALLED: the documents' own lines cannot be tried")
    url = server if isinstance(server, str) else server.url
    words = [re.sub(r"http://(localhost|127\.0\.0\.1):[58]000", url, argument) for argument in arguments]
    done = subprocess.run(
        [program, "--silent", "--show-error", "--noproxy", "*", "-w", "\n%{http_code} %{content_type}", *words],
        capture_output=True,
        check=True,
        timeout=60,
    )
    text, _, told = done.stdout.decode().rpartition("\n")
    status, _, media = told.partition(" ")
    return Answer(int(status), media.partition(";")[0], text)


def curl(server: Server | str, *arguments: str) -> Any:
    """The JSON that `curl ARGUMENTS` shows; an error is the problem document."""
    return answer(server, *arguments).json


# Nobody waits for time to pass: PAUSE seconds between two numbers of /stream, and no call ends because time is up.
_PATIENT: Final = """
import runpy, sys
import httpx
from quart_app.web.examples import exports, users
users.TIMEOUT = 600
httpx.Timeout = lambda *_, **__: None
exports.PAUSE = PAUSE
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def start_patient(server: Server, pause: float = 0.01) -> Server:
    """Start it as one that waits for others without end, and `pause` seconds between two numbers of `/stream`."""
    return server.start(prefix=("-c", _PATIENT.replace("= PAUSE", f"= {pause}"))).wait_ready()
