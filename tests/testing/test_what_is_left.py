"""A kit leaves nothing behind, and does nothing before it is opened."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from quart import Quart

from quart_app import QuartTasks, UnknownKind, settings, task
from quart_app.core.errors import ConfigError
from quart_app.testing import TaskKit
from tests.checkout import ROOT
from tests.engine.engine import until
from tests.testing import shop

OF_POOL = "asyncio_"  # the loop keeps the threads of its own pool


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where kits make their folders."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def write(file: Path, text: str) -> None:
    file.write_text(text)


def write_hello(folder: Path) -> str:
    """The path of a module of tasks."""
    file = folder / "hello.py"
    write(file, 'from quart_app import task\n\n@task("hello")\nasync def hello(): return "hi"\n')
    return str(file)


async def everything(kit: TaskKit) -> None:
    await shop.sign_up("ada")
    await kit.crash_at("in step fetch")
    await kit.run_task("resize", {"name": "a"})
    await kit.run_task("square", {"number": 1})
    await kit.run_task("asks-model")
    assert (await kit.client.get("/status")).status_code == 200
    await kit.advance("2 days")


async def a_drain_that_is_cancelled(kit: TaskKit) -> None:
    await kit.enqueue("slow", {"seconds": 60})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await kit.drain()


async def a_failure(kit: TaskKit) -> None:
    await kit.enqueue("slow", {"seconds": 60})
    drain = asyncio.create_task(kit.drain())
    await until(lambda: shop.done == ["begins"], "the handler")
    drain.cancel()
    raise LookupError("of the test")


async def a_wait_on_the_clock(kit: TaskKit) -> None:
    await kit.enqueue("calls-out")
    drain = asyncio.create_task(kit.drain())
    await until(lambda: bool(shop.done), "the first call")
    drain.cancel()


@pytest.mark.parametrize("use", [everything, a_drain_that_is_cancelled, a_failure, a_wait_on_the_clock])
async def test_threads_tasks_files_and_the_environment(folder: Path, use: Callable[[TaskKit], Awaitable[None]]) -> None:
    async with TaskKit([shop]):
        pass  # what is made once in a process
    threads, environment = set(threading.enumerate()), dict(os.environ)

    def left() -> list[object]:
        newer = [one for one in set(threading.enumerate()) - threads if not one.name.startswith(OF_POOL)]
        files = [str(file.resolve()) for file in Path("/proc/self/fd").iterdir()]
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        return [*newer, *tasks, *folder.iterdir(), *(file for file in files if str(folder.resolve()) in file)]

    try:
        async with TaskKit([shop]) as kit:
            await use(kit)
            assert names(folder)
    except LookupError:
        assert use is a_failure
    await until(lambda: not left(), "threads, tasks and files")
    assert dict(os.environ) == environment
    with pytest.raises(RuntimeError, match="inside a running app"):
        await shop.welcome.enqueue(name="ada")


async def test_a_kit_that_cannot_be_opened_leaves_nothing(folder: Path) -> None:
    for wrong, match in (
        ({"max_args": "many"}, "QUART_APP_MAX_ARGS: "),
        ({"no_such": 1}, "QUART_APP_NO_SUCH: no such setting"),
        ({"data_dir": "x"}, "data_dir: the kit has a folder of its own"),
        ({"QUART_APP_DATABASE_URL": "sqlite:///x"}, "the kit has a folder of its own"),
    ):
        with pytest.raises(ConfigError, match=match):
            await TaskKit([shop], wrong).open()
    with pytest.raises(ConfigError, match="no file"):
        await TaskKit(["gone.py"]).open()
    with pytest.raises(ConfigError, match="declared twice"):
        await TaskKit([shop, task("welcome")(shop.welcome.function)]).open()
    with pytest.raises(ValueError, match="has no tasks"):
        await TaskKit([shop], app=Quart("other")).open()
    assert names(folder) == []


async def test_a_closed_kit_says_so() -> None:
    kit = TaskKit([shop])
    for ask in (kit.all_enqueued, kit.now, lambda: kit.client, lambda: kit.settings):
        with pytest.raises(RuntimeError, match="the kit is closed: it works inside of `async with TaskKit"):
            ask()
    for call in (kit.drain, kit.crash, lambda: kit.enqueue("welcome"), lambda: kit.advance(1)):
        with pytest.raises(RuntimeError, match="the kit is closed"):
            await call()


async def test_it_does_not_touch_the_database_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUART_APP_DATA_DIR", str(tmp_path / "production"))
    monkeypatch.setenv("QUART_APP_SMTP_URL", "smtp://mail.example.com")
    monkeypatch.setenv("QUART_APP_TASKS", "tests.testing.shop")
    async with TaskKit() as kit:
        await kit.run_task("welcome", {"name": "ada"})
        assert kit.settings.smtp_url == ""
        assert not kit.settings.data_dir.startswith(str(tmp_path))
    async with TaskKit([]) as kit:
        with pytest.raises(UnknownKind):
            await kit.enqueue("welcome", {"name": "ada"})
    assert names(tmp_path) == []


async def test_kinds_come_from_the_dotenv_of_the_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QUART_APP_TASKS", raising=False)
    write_hello(tmp_path)
    write(tmp_path / ".env", "QUART_APP_TASKS=hello.py\n")
    async with TaskKit() as kit:
        assert (await kit.run_task("hello")).result == "hi"
    async with TaskKit(settings={"tasks": "tests.testing.shop"}) as kit:
        await kit.run_task("welcome", {"name": "ada"})


async def test_names_files_and_kinds_themselves_are_tasks(tmp_path: Path) -> None:
    async with TaskKit([write_hello(tmp_path), shop.welcome, "tests.engine.process_kinds"]) as kit:
        assert (await kit.run_task("hello")).result == "hi"
        await kit.run_task(shop.welcome, {"name": "ada"})


async def test_the_app_of_a_user_answers_from_the_kit() -> None:
    app = Quart("own")

    @app.post("/sign-up/<name>")
    async def sign_up(name: str) -> str:
        await shop.sign_up(name)
        return "welcome"

    QuartTasks(app, settings.Settings(data_dir="/nowhere"), url_prefix="/jobs")
    async with TaskKit([shop], app=app) as kit:
        assert await (await kit.client.post("/sign-up/ada")).get_data(as_text=True) == "welcome"
        kit.assert_enqueued("welcome", args={"name": "ada"})
        await kit.crash()
        tasks = (await (await kit.client.get("/jobs/tasks")).get_json())["tasks"]
        assert [one["kind"] for one in tasks] == ["remind", "welcome"]


async def test_the_client_asks_the_whole_app() -> None:
    async with TaskKit([shop]) as kit:
        made = await (await kit.client.post("/tasks/welcome?delay=60", json={"name": "ada"})).get_json()
        kit.assert_enqueued("welcome", args={"name": "ada"})
        await kit.advance("1 minute")
        answer = await (await kit.client.get(f"/tasks/{made['task_id']}")).get_json()
        assert (answer["status"], answer["result"]) == ("completed", "sent to ada")
        assert answer["completed_at"] == kit.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for path in (
            "/",
            "/health",
            "/ready",
            "/status",
            "/metrics",
            "/openapi.json",
            "/limits",
            "/schedules",
            "/kinds",
        ):
            assert (await kit.client.get(path)).status_code == 200, path
        assert (await kit.client.get("/tasks/01a1fc91-bf65-7cf5-9e74-aba76276041c")).status_code == 404


async def test_a_wait_over_http_ends_when_its_real_time_is_over() -> None:
    async with TaskKit([shop]) as kit:
        answer = await kit.client.post("/tasks/welcome", json={"name": "ada"}, headers={"Prefer": "wait=1"})
        assert answer.status_code == 202
        sent = asyncio.create_task(
            kit.client.post("/tasks/welcome", json={"name": "bob"}, headers={"Prefer": "wait=30"})
        )
        await until(lambda: len(kit.all_enqueued("welcome")) == 2, "the task")
        await kit.drain()
        assert (await (await sent).get_json())["result"] == "sent to bob"


async def test_events_are_followed_over_http_while_the_kit_runs() -> None:
    async with TaskKit([shop]) as kit:
        task = await kit.enqueue("resize-in-a-thread", {"name": "a"})
        async with kit.client.request(f"/tasks/{task.id}/events") as stream:
            await stream.send_complete()
            await kit.drain()
            text = ""
            async with asyncio.timeout(20):
                while '"status":"completed"' not in text:
                    text += (await stream.receive()).decode()
        assert "event: step" in text


def run(script: str, folder: Path) -> str:
    """What Python prints, in a folder without anything."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    environment.pop("QUART_APP_TASKS", None)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nothing_happens_by_import(tmp_path: Path) -> None:
    script = (
        "import os, sys, threading, asyncio\n"
        "before = dict(os.environ), threading.active_count()\n"
        "import quart_app.testing\n"
        "assert (dict(os.environ), threading.active_count()) == before\n"
        "print(sorted({'quart', 'reportlab', 'hypercorn', 'werkzeug'} & sys.modules.keys()), os.listdir())"
    )
    assert run(script, tmp_path) == "[] []\n"


def test_it_works_without_pytest_and_in_any_loop(tmp_path: Path) -> None:
    script = """
import asyncio, sys
sys.modules["pytest"] = sys.modules["pytest_asyncio"] = sys.modules["_pytest"] = None  # as if they were not installed
from quart_app import task
from quart_app.testing import TaskKit

@task("double")
async def double(ctx, number: int) -> int:
    await ctx.sleep(3600)
    return 2 * number

async def main():
    async with TaskKit(tasks=[double]) as kit:
        ran = await kit.run_task(double, {"number": 21})
        await double.enqueue(number=1)
        kit.assert_enqueued("double", args={"number": 1}, count=1)
        await kit.advance("1 hour")
        return ran.result, kit.all_enqueued()

for _ in range(2):  # each in a loop of its own
    print(*asyncio.run(main()))
import quart_app.testing
print(hasattr(quart_app.testing, "kit_settings"))
"""
    assert run(script, tmp_path) == "42 []\n42 []\nFalse\n"
