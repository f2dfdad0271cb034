"""What a reader can type in README.md and docs/ is typed here; the answers shown are compared with the real ones."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests import readme
from tests.checkout import DEADLINE, Checkout

pytestmark = pytest.mark.once

BLOCKS = readme.blocks()
SCENARIOS = list(dict.fromkeys(block.scenario for block in BLOCKS if block.run and not block.run.startswith("not")))


class Reader:
    """Does what a page says, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._checkout = Checkout(folder)
        self._known = readme.Known()
        self._variables = ""
        self._server: subprocess.Popen[bytes] | None = None
        self._log = folder / "server.log"

    def follow(self, block: readme.Block) -> None:
        match block.run.split():
            case ["file", name]:
                with (self._checkout.folder / name).open("a") as file:
                    file.write(block.text)
            case ["server"]:
                ((command, _),) = readme.commands(block)
                self._server = self._checkout.start(self._here(command), self._log)
            case ["console", *effects]:
                for command, output in readme.commands(block):
                    self._type(command, output)
                if effects == ["kills"]:
                    self._wait_for_its_death()
            case ["terminal"]:
                for command, output in readme.commands(block):
                    if command.endswith(" &"):
                        self._server = self._checkout.start(self._here(command.removesuffix(" &")), self._log)
                    else:
                        self._type(command, output)
                    if command.startswith("kill -9 "):
                        self._wait_for_its_death()
            case _:
                raise AssertionError(f"{block.page}:{block.line}: unknown comment {block.run!r}")

    def stop(self) -> int | None:
        """Ctrl-C in the first terminal; the server's exit code."""
        if self._server is None:
            return None
        self._server.terminate()
        try:
            return self._server.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
            raise

    def _wait_for_its_death(self) -> None:
        assert self._server is not None
        assert self._server.wait(DEADLINE) == -9

    def _type(self, command: str, expected: str) -> None:
        if assignment := re.fullmatch(r"(\w+)=(\S+)", command):
            self._variables += f"{assignment[1]}={self._known.real[assignment[2]]}\n"
            return
        ends = time.monotonic() + DEADLINE
        while True:
            output = self._checkout.shell(self._variables + self._here(command)).rstrip("\n")
            if not expected or self._known.match(expected, output):
                return
            # A question may be asked again until the answer is the one shown ("ask until two dishes are ready").
            asks = " -X " not in command
            if not asks or time.monotonic() > ends:
                pytest.fail(f"$ {command}\n{output}\nbut the page shows\n{expected}\n{self._log.read_text()}")
            time.sleep(0.05)

    def _here(self, command: str) -> str:
        return command.replace("8000", str(self._checkout.port))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_what_a_reader_types_answers_as_shown(scenario: str, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    if scenario.endswith(": uvicorn"):
        pytest.importorskip("uvicorn", reason="pip install -r requirements-dev.txt")
    reader = Reader(tmp_path)
    try:
        for block in BLOCKS:
            if block.scenario == scenario and block.run and not block.run.startswith("not"):
                reader.follow(block)
    finally:
        code = reader.stop()
    assert code == 0


def test_every_block_a_reader_can_type_is_run_or_says_why_not() -> None:
    silent = [f"{block.page}:{block.line}" for block in BLOCKS if block.language in readme.RUNNABLE and not block.run]
    assert not silent, f"no comment before the blocks at {silent}"


def test_the_tour_kills_the_server_in_the_middle_and_goes_on() -> None:
    tour = [block.run for block in BLOCKS if block.scenario == "docs/tutorial.md: tour"]
    killed = tour.index("console kills")
    assert "console" in tour[:killed]
    assert tour[killed + 1 : killed + 3] == ["server", "console"]


def test_the_readme_kills_the_server_in_the_middle_and_goes_on() -> None:
    (block,) = [block for block in BLOCKS if block.page == "README.md" and block.run == "terminal"]
    typed = [command for command, _ in readme.commands(block)]
    (killed,) = [number for number, command in enumerate(typed) if command.startswith("kill -9 ")]
    starts = [number for number, command in enumerate(typed) if command.endswith(" &")]
    assert starts == [0, killed + 1]
    assert killed + 1 < len(typed) - 1


def test_the_comparison_tells_different_answers_apart() -> None:
    one, other = "01a1fc91-bf65-7cf5-9e74-aba76276041c", "01a1fc92-077f-7bd1-825a-498e83ac0889"
    known = readme.Known()
    assert known.match(f"{one} … {other}", f"{other} and {one}")
    assert not known.match(f"{one} … {other}", f"{one} and {other}"), "ids keep their meaning"
    assert not known.match("process 1, process 2", "process 7, process 7"), "different ones stay different"
    assert not known.match('{"result":5}', '{"result":6}')
