"""startup.sh: its flags, its exit codes, and what it says when something is missing."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.checkout import DEADLINE, ROOT, Checkout

pytestmark = pytest.mark.once


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def startup(checkout: Checkout, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout.folder / "startup.sh", *arguments],
        cwd="/",
        env={**checkout.environment, **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )


def get(checkout: Checkout, path: str) -> dict[str, object]:
    with urllib.request.urlopen(f"http://127.0.0.1:{checkout.port}{path}", timeout=DEADLINE) as response:
        return json.loads(response.read())


def wait_until(condition: Callable[[], object], what: str) -> None:
    ends = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < ends, what
        time.sleep(0.05)


@pytest.mark.parametrize("arguments", [["--fast"], ["--prod", "x"], ["x"], ["--setup", "--", "x"], ["--test", "x"]])
def test_an_unknown_argument_prints_the_usage_and_ends_with_64(checkout: Checkout, arguments: list[str]) -> None:
    done = startup(checkout, *arguments)
    assert done.returncode == 64
    assert "unknown argument" in done.stderr
    assert "usage: ./startup.sh" in done.stderr


def test_two_flags_and_arguments_without_the_dashes_say_what_was_meant(checkout: Checkout) -> None:
    two, bare = startup(checkout, "--dev", "--prod"), startup(checkout, "--test", "tests/core", "-x")
    assert (two.returncode, bare.returncode) == (64, 64)
    assert "one flag only, not --dev and --prod" in two.stderr
    assert "for pytest: ./startup.sh --test -- tests/core -x" in bare.stderr


def test_help_names_every_flag(checkout: Checkout) -> None:
    done = startup(checkout, "--help")
    assert done.returncode == 0
    for flag in ("--prod", "--dev", "--setup", "--test"):
        assert flag in done.stdout


def test_a_second_setup_installs_nothing(checkout: Checkout) -> None:
    done = startup(checkout, "--setup")
    assert done.returncode == 0
    assert "installing" not in done.stderr


def test_changed_requirements_are_installed_once(checkout: Checkout) -> None:
    # pytest is here already, whatever its version: pip has nothing to fetch.
    (checkout.folder / "requirements.txt").write_text("pytest\n")
    first, second = startup(checkout, "--setup"), startup(checkout, "--setup")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert "installing requirements.txt" in first.stderr
    assert "installing" not in second.stderr


def test_requirements_that_cannot_be_installed_end_with_69_and_are_tried_again(checkout: Checkout) -> None:
    (checkout.folder / "requirements.txt").write_text("./a-folder-that-does-not-exist\n")
    for done in (startup(checkout, "--setup"), startup(checkout, "--setup")):
        assert done.returncode == 69
        assert "pip could not install requirements.txt" in done.stderr


@pytest.mark.parametrize(
    ("stand_in", "advice"),
    [
        (None, "Python 3.11 or newer is missing"),
        ('case "$*" in *version_info*) exit 1 ;; esac', "Python 3.11 or newer is missing"),
        (
            'case "$*" in *ensurepip*) exit 1 ;; *print*) echo python3.12-venv ;; esac',
            "sudo apt install python3.12-venv",
        ),
    ],
    ids=["no python", "only an old python", "python without venv"],
)
def test_a_missing_python_is_one_line_that_says_what_to_install(
    checkout: Checkout, tmp_path_factory: pytest.TempPathFactory, stand_in: str | None, advice: str
) -> None:
    bare = tmp_path_factory.mktemp("bin")
    for tool in ("sh", "dirname", "cat"):
        (bare / tool).symlink_to(str(shutil.which(tool)))
    if stand_in is not None:
        (bare / "python3").write_text(f"#!/bin/sh\n{stand_in}\n")
        (bare / "python3").chmod(0o755)
    shutil.rmtree(checkout.folder / ".venv")
    done = startup(checkout, PATH=str(bare))
    assert done.returncode == 69
    assert advice in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_arguments_after_two_dashes_go_to_pytest_alone(checkout: Checkout) -> None:
    checkout.mark_installed("requirements-dev.txt")
    (checkout.folder / "test_one.py").write_text(
        "import os\n\ndef test_here():\n    assert 'QUART_APP_BIND' not in os.environ\n\n"
        "def test_there():\n    assert 0\n"
    )
    done = startup(checkout, "--test", "--", "-p", "no:cacheprovider", "-k", "here and not there", QUART_APP_BIND="x:1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed, 1 deselected" in done.stdout


def test_a_stop_reaches_the_server_and_its_exit_code_comes_back(checkout: Checkout) -> None:
    server = checkout.start("./startup.sh --prod", checkout.folder / "log")
    assert get(checkout, "/status")["worker_info"] == {"pid": server.pid, "worker_class": "asyncio"}
    server.send_signal(signal.SIGTERM)
    assert server.wait(DEADLINE) == 0


def test_dev_starts_the_server_again_when_a_file_changes(checkout: Checkout) -> None:
    tasks = checkout.folder / "my_tasks.py"
    kind = "from quart_app import task\n\n@task('{}')\nasync def handler() -> None: ...\n"
    tasks.write_text(kind.format("first"))
    setting = f"QUART_APP_BIND=127.0.0.1:{checkout.port} QUART_APP_TASKS=my_tasks.py"
    log = checkout.folder / "log"
    server = checkout.start(f"{setting} ./startup.sh --dev", log)
    try:
        assert post(checkout, "/tasks/first") == 202
        tasks.write_text(kind.format("second"))
        wait_until(lambda: post(checkout, "/tasks/second") == 202, "the new kind is not there")
        assert post(checkout, "/tasks/first") == 404
        tasks.write_text("this is no python\n")
        wait_until(lambda: "waiting for a change" in log.read_text(), "a broken file was not noticed")
        tasks.write_text(kind.format("third"))
        wait_until(lambda: post(checkout, "/tasks/third") == 202, "it did not recover from a broken file")
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(DEADLINE) == 0
    wait_until(lambda: post(checkout, "/tasks/third") is None, "the server outlived startup.sh")


def post(checkout: Checkout, path: str) -> int | None:
    """The status of the answer; None when nobody answers."""
    request = urllib.request.Request(f"http://127.0.0.1:{checkout.port}{path}", method="POST")
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return None


def test_startup_bat_has_the_same_flags() -> None:
    batch = (ROOT / "startup.bat").read_text()
    for flag in ("--prod", "--dev", "--setup", "--test", "--help"):
        assert flag in batch
    assert "exit /b 64" in batch
