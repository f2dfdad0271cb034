"""The fixtures as a user has them: a real pytest in a folder of his own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.checkout import ROOT

TASKS = """
from quart_app import TaskContext, task

sent = []


async def send(address: str) -> str:
    sent.append(address)
    return f"sent to {address}"


@task("invite", max_attempts=3)
async def invite(ctx: TaskContext, address: str) -> str:
    await ctx.sleep(60)
    return await ctx.step("send", send, address)


async def invite_all(addresses):
    for address in addresses:
        await invite.enqueue(address=address)
"""

CONFTEST = """
import pytest
import my_tasks

pytest_plugins = ["quart_app.testing"]


@pytest.fixture
def task_modules():
    return [my_tasks]
"""

GOOD = """
import my_tasks


async def test_all_are_invited(kit):
    await my_tasks.invite_all(["a@x.org", "b@x.org"])
    kit.assert_enqueued("invite", args={"address": "a@x.org"})
    kit.assert_enqueued(my_tasks.invite, count=2)
    await kit.drain()
    assert my_tasks.sent == []
    await kit.advance("1 minute")
    assert my_tasks.sent == ["a@x.org", "b@x.org"]


async def test_it_is_sent_once_when_the_server_dies_after_it(kit):
    my_tasks.sent.clear()
    await kit.crash_at("after step send")
    ran = await kit.run_task("invite", {"address": "c@x.org"})
    assert (ran.result, my_tasks.sent) == ("sent to c@x.org", ["c@x.org"])


async def test_over_http(kit):
    made = await kit.client.post("/tasks/invite", json={"address": "d@x.org"})
    assert made.status_code == 202
    kit.assert_enqueued("invite")


def test_one_without_the_kit():
    pass
"""

BAD = """
import pytest

async def test_nothing_is_enqueued(kit):
    kit.assert_enqueued("invite")

async def test_a_crash_never_came(kit):
    await kit.crash_at("in step sent")
    await kit.run_task("invite", {"address": "a@x.org"})

async def test_a_step_was_not_asked_for(kit):
    await kit.run_task("invite", {"address": "a@x.org"}, steps={"sent": 1})

async def test_fails_itself(kit):
    await kit.crash_at("before end")
    assert 1 == 2

@pytest.fixture
async def later(kit):
    await kit.crash_at("before end")

async def test_by_a_fixture(later):
    pass
"""


AUTO = ("-W", "error", "-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")


def run(folder: Path, *arguments: str, options: tuple[str, ...] = AUTO, **files: str) -> tuple[int, str]:
    """The exit code and the output of pytest."""
    for name, text in {"my_tasks": TASKS, "conftest": CONFTEST, **files}.items():
        (folder / f"{name}.py").write_text(text)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "QUART_APP"))}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def test_tests_of_a_user_pass(tmp_path: Path) -> None:
    code, output = run(tmp_path, test_good=GOOD)
    assert (code, "4 passed" in output) == (0, True), output
    left = {path.name for path in tmp_path.iterdir()} - {"__pycache__"}
    assert left == {"my_tasks.py", "conftest.py", "test_good.py"}


def test_each_failure_is_one_of_the_test_and_says_why(tmp_path: Path) -> None:
    code, output = run(tmp_path, "-v", test_bad=BAD)
    assert code == 1
    assert len(re.findall(r"^test_bad.py::test_\w+ FAILED", output, re.MULTILINE)) == 5, output
    assert "5 failed" in output
    assert "error" not in output.splitlines()[-1]
    for line in (
        "no task of invite is enqueued; there are no tasks at all",
        "a crash never came: in step sent; the steps that ran were invite: send",
        "invite was given the step sent, which it never asked for; it asked for send (the task completed)",
        "assert 1 == 2",
        "a crash never came: before end; no step ran",
    ):
        assert line in output, line


def test_pytest_without_any_configuration(tmp_path: Path) -> None:
    marked = "import pytest\npytestmark = pytest.mark.asyncio\n" + GOOD.replace("def test_one", "async def test_one")
    code, output = run(tmp_path, options=(), test_good=marked)
    assert (code, "4 passed" in output) == (0, True), output


def test_kinds_and_settings_of_the_environment_and_of_fixtures(tmp_path: Path) -> None:
    conftest = """
import datetime, os, pytest
from quart_app.testing import TaskKit  # before pytest takes it for a plugin
os.environ["QUART_APP_TASKS"] = "my_tasks.py"
os.environ["QUART_APP_MAX_ARGS"] = "of no concern here"
pytest_plugins = ["quart_app.testing"]

@pytest.fixture
def kit_settings():
    return {"max_args": 30}

@pytest.fixture
def kit_now():
    return datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
"""
    test = """
import pytest
from quart_app import InvalidArgs

async def test_it(kit):
    assert kit.now().year == 2030
    await kit.enqueue("invite", {"address": "a@x.org"})
    with pytest.raises(InvalidArgs):
        await kit.enqueue("invite", {"address": 30 * "x"})
"""
    code, output = run(tmp_path, conftest=conftest, test_it=test)
    assert (code, "1 passed" in output) == (0, True), output


def test_a_module_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    conftest = CONFTEST.replace("[my_tasks]", '["gone.py"]')
    code, output = run(tmp_path, conftest=conftest, test_good=GOOD)
    assert code == 1
    assert "ConfigError: QUART_APP_TASKS: no file" in output


def test_without_pytest_asyncio_it_says_what_to_install(tmp_path: Path) -> None:
    conftest = "import sys\nsys.modules['pytest_asyncio'] = None\n" + CONFTEST
    test = "def test_it(kit):\n    pass\n"
    code, output = run(tmp_path, options=("-W", "error", "-p", "no:asyncio"), conftest=conftest, test_it=test)
    assert code == 1
    assert "the fixture kit needs pytest-asyncio: pip install pytest-asyncio" in output
