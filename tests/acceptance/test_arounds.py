"""`@around` and `@resource` of a module of QUART_APP_TASKS, in the real server."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import Command, lines_of, until

MODULE = """
import os
from pathlib import Path

from quart_app import around, resource, task

JOURNAL = Path("journal")


def write(line):
    with JOURNAL.open("a") as file:
        file.write(line + "\\n")


@resource("first")
async def first():
    write("open first")
    try:
        yield "one"
    finally:
        write("close first")


@resource("second")
async def second():
    write("open second")
    yield "two"
    write("close second")


@around("u*")
async def session(ctx):
    ctx.state["used"] = await ctx.resource("first")
    write("enter")
    try:
        yield
    finally:
        write("leave")


@task("used")
async def used(ctx):
    return [ctx.state["used"], await ctx.resource("second")]


@task("used-in-a-thread")
def used_in_a_thread(ctx):
    return [ctx.state["used"], ctx.resource("second")]


@task("used-by-forks")
async def used_by_forks(ctx, fails: bool):
    if (child := os.fork()) == 0:
        if fails:
            raise ValueError("of the child")
        return "child"
    os.waitpid(child, 0)
    return "parent"


@task("used-in-a-child", executor="process")
def used_in_a_child(ctx):
    try:
        return ctx.state
    except AttributeError as error:
        return str(error)


@task("used-until-the-stop")
async def used_until_the_stop(ctx):
    write("waits")
    while not Path("flag").exists():
        await ctx.sleep(0.05, name=None)
    return "done"
"""


@pytest.mark.parametrize("command", ["serve", "serve-uvicorn", "hypercorn"])
def test_a_resource_is_opened_once_and_closed_at_the_stop(
    make_server: MakeServer, tmp_path: Path, journal: Path, flag: Path, command: Command
) -> None:
    (tmp_path / "shared.py").write_text(MODULE)
    server = make_server(tasks="shared.py").start(command).wait_ready()
    assert not journal.exists()
    for kind in ("used", "used-in-a-thread", "used"):
        assert server.ended(server.post(kind))["result"] == ["one", "two"]
    assert server.ended(server.post("used-in-a-child"))["result"] == (
        'ctx.state does not exist in a child process (executor="process")'
    )
    task_id = server.post("used-until-the-stop")
    until(lambda: ["waits"] in lines_of(journal), "the start of the task")
    assert server.sigterm() == 0
    around = ["enter", "leave"]
    said = [" ".join(words) for words in lines_of(journal)]
    assert said == [
        *("open first", "enter", "open second", "leave", *around, *around),
        *("enter", "waits", "leave", "close second", "close first"),
    ]
    assert "Traceback" not in server.stderr + server.log

    flag.touch()
    server.start(command).wait_ready()
    assert server.ended(task_id)["result"] == "done"
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    later = [" ".join(words) for words in lines_of(journal)][len(said) :]
    assert later == ["open first", "enter", "waits", "leave", "close first"]


def test_a_process_that_a_handler_forks_does_not_leave_its_arounds(
    make_server: MakeServer, tmp_path: Path, journal: Path
) -> None:
    (tmp_path / "shared.py").write_text(MODULE)
    server = make_server(tasks="shared.py").start().wait_ready()
    for fails in (False, True):
        assert server.ended(server.post("used-by-forks", {"fails": fails}))["result"] == "parent"
    assert lines_of(journal) == [["open", "first"], *[["enter"], ["leave"]] * 2]
    assert server.sigterm() == 0
    assert lines_of(journal)[-1] == ["close", "first"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("@resource('first')\nasync def third():\n    yield 3", "resource 'first' is declared twice: more.third"),
        ("@around('used-in-a-child')\nasync def third(ctx):\n    yield", "cannot run around used-in-a-child"),
        ("@around\nasync def third(ctx):\n    return", "@around: third is no async generator function"),
    ],
)
def test_a_bad_declaration_ends_the_start_with_a_line(
    make_server: MakeServer, tmp_path: Path, wrong: str, said: str
) -> None:
    (tmp_path / "shared.py").write_text(MODULE)
    (tmp_path / "more.py").write_text(f"from quart_app import around, resource\n\n\n{wrong}\n")
    server = make_server(tasks="more,shared.py")
    server.environment["PYTHONPATH"] += f":{tmp_path}"
    assert server.start().wait_exit() == 78
    assert said in server.stderr
    assert "Traceback" not in server.stderr
