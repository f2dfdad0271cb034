"""`tasks watch`: what comes is shown, the exit code is the outcome, a restart of the server is no end."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import Command, MakeServer
from tests.acceptance.harness import DEADLINE, Server, until

Watch = Callable[..., "Watcher"]


class Watcher:
    """`tasks watch` as a process of its own; what it writes is in files."""

    def __init__(self, server: Server, *arguments: str) -> None:
        self._out, self._err = server.folder / "watch.out", server.folder / "watch.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "quart_app", "tasks", "watch", *arguments],
                cwd=server.folder,
                env=server.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def shows(self, words: str) -> None:
        until(lambda: words in self.out + self.err or self.process.poll() is not None, f"{words!r}")
        assert words in self.out + self.err

    def end(self) -> int:
        return self.process.wait(DEADLINE)


@pytest.fixture
def watch(server: Server) -> Iterator[Watch]:
    made: list[Watcher] = []

    def start(*arguments: str) -> Watcher:
        made.append(Watcher(server, *arguments))
        return made[-1]

    yield start
    for one in made:
        one.process.kill()
        one.process.wait()


def words(text: str) -> list[str]:
    """The lines without the time of day."""
    return [line[9:].replace("  ", " ") if line[2:3] == ":" else line for line in text.splitlines()]


@pytest.mark.parametrize("way", ["socket", "url"])
def test_a_task_is_followed_to_its_end(server: Server, watch: Watch, journal: Path, way: str) -> None:
    server.start().wait_ready()
    task_id = server.post("steps", {"path": str(journal), "count": 3, "pause": 0.05})
    watcher = watch(task_id, *(["--url", server.url] if way == "url" else []))
    assert watcher.end() == 0
    lines = [" ".join(line.split()) for line in words(watcher.out)]
    assert lines == [
        "status pending (enqueue, attempt 0)",
        "status processing (claim, attempt 1)",
        "step s1",
        "step s2",
        "step s3",
        "status completed (complete, attempt 1)",
        "completed: [1, 4, 9]",
    ]
    assert watcher.err == ""


def test_the_exit_code_is_the_outcome(server: Server, command: Command) -> None:
    server.start().wait_ready()
    good, bad = server.post("quick", {"x": 1}), server.post("exits-inside", {"how": "wait_for"})
    off = server.post("quick", delay=600)
    assert server.client.post(f"/tasks/{off}/cancel").status_code == 200
    for task_id, code in ((good, 0), (bad, 1), (off, 2), ("01a1fc91-bf65-7cf5-9e74-aba76276041c", 3), ("..", 3)):
        done = command("tasks", "watch", task_id)
        assert done.returncode == code, done
    assert done.stderr == "quart_app: Task not found\n"


def test_json_is_one_event_a_line_as_the_api_sends_it(server: Server, command: Command) -> None:
    server.start().wait_ready()
    task_id = server.post("quick", {"x": 1})
    server.ended(task_id)
    done = command("tasks", "watch", task_id, "--json")
    events = server.client.get(f"/tasks/{task_id}/history").json()["events"]
    assert [json.loads(line) for line in done.stdout.splitlines()] == events
    assert done.returncode == 0


@pytest.mark.parametrize("way", ["socket", "url"])
def test_it_goes_on_after_a_kill_of_the_server_with_no_line_twice(
    server: Server, watch: Watch, journal: Path, flag: Path, way: str
) -> None:
    server.start().wait_ready()
    task_id = server.post("gated", {"path": str(journal), "flag": str(flag)})
    watcher = watch(task_id, *(["--url", server.url] if way == "url" else []))
    watcher.shows("s3")
    server.kill9()
    watcher.shows("waiting for it")
    flag.touch()
    server.start().wait_ready()
    assert watcher.end() == 0
    assert "connected again" in watcher.err
    steps = [line.split()[1] for line in words(watcher.out) if line.startswith("step")]
    assert steps == [f"s{number}" for number in range(1, 7)]
    assert "(crash, attempt 0)" in watcher.out


def test_it_goes_on_after_a_stop_of_the_server(server: Server, watch: Watch, journal: Path, flag: Path) -> None:
    server.start().wait_ready()
    task_id = server.post("sleeper", {"path": str(journal), "flag": str(flag)})
    watcher = watch(task_id)
    watcher.shows("processing")
    assert server.sigterm() == 0, "a watcher keeps no server"
    watcher.shows("waiting for it")
    flag.touch()
    server.start().wait_ready()
    assert watcher.end() == 0
    assert "release" in watcher.out


def test_without_a_server_it_waits_for_one_and_leaves_it_the_database(
    server: Server, watch: Watch, journal: Path, flag: Path
) -> None:
    server.start().wait_ready()
    done = server.post("quick", {"x": 1})
    server.ended(done)
    later = server.post("sleeper", {"path": str(journal), "flag": str(flag)})
    server.kill9()
    assert server.command("tasks", "watch", done).stdout.endswith("completed: 1\n")
    watcher = watch(later)
    watcher.shows("no server runs; waiting for one")
    flag.touch()
    server.start().wait_ready()
    assert watcher.end() == 0
    assert watcher.out.endswith("completed: 1\n")


def test_ctrl_c_ends_the_watching_and_not_the_task(server: Server, watch: Watch, journal: Path, flag: Path) -> None:
    server.start().wait_ready()
    task_id = server.post("sleeper", {"path": str(journal), "flag": str(flag)})
    watcher = watch(task_id)
    watcher.shows("processing")
    watcher.process.send_signal(signal.SIGINT)
    assert watcher.end() == 130
    assert watcher.err == ""
    flag.touch()
    assert server.ended(task_id)["status"] == "completed"


def test_on_a_terminal_there_is_a_bar(make_server: MakeServer, tmp_path: Path) -> None:
    (tmp_path / "kinds.py").write_text(
        "import asyncio\n"
        "from quart_app import task\n"
        "@task('bars')\n"
        "async def bars(ctx) -> int:\n"
        "    await ctx.log('see [bold]\\x1b[31m[/bold]', n=1)\n"
        "    for n in range(1, 4):\n"
        "        await ctx.progress(n, 4, f'part {n}')\n"
        "        await asyncio.sleep(0.3)\n"
        "    return 4\n"
    )
    server = make_server(tasks="kinds.py").start().wait_ready()
    task_id = server.post("bars")
    primary, secondary = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "quart_app", "tasks", "watch", task_id],
        cwd=server.folder,
        env={**server.environment, "TERM": "xterm", "COLUMNS": "100", "LINES": "24"},
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
    )
    os.close(secondary)
    shown = b""
    try:
        while piece := os.read(primary, 65536):
            shown += piece
    except OSError:  # Linux: the other end is closed
        pass
    os.close(primary)
    assert process.wait(DEADLINE) == 0
    text = shown.decode()
    assert "75%" in text
    assert "part 3" in text
    assert "see [bold]\\x1b[31m[/bold] n=1" in text, "a task's words neither colour nor steer the terminal"
    assert "completed: 4" in text
    left = re.sub(r"\x1b\[[0-9?;]*[a-zA-Z]", "", text.rpartition("\x1b[2K")[2])
    assert left.strip() == "", "the bar is gone at the end"
