"""The types of results, as mypy sees them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.harness import ROOT

pytestmark = pytest.mark.once


def mypy(*arguments: str) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("mypy", reason="MYPY IS NOT INSTALLED: requirements-dev.txt has it")
    # Silent: under other versions of the packages some remarks of the rest of the code have no use.
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_a_kind_gives_its_type_to_tasks_and_handles() -> None:
    done = mypy("tests/client/typed.py")
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_would_notice_a_wrong_type(tmp_path: Path) -> None:
    text = Path(__file__).with_name("typed.py").read_text()
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        text.replace("assert_type(client.create(length), Task[int])", "").replace(
            "assert_type(client.wait(task).result_or_raise(), Price)",
            "assert_type(client.wait(task).result_or_raise(), int)",
        )
    )
    done = mypy(str(wrong))
    assert done.returncode == 1
    assert 'Expression is of type "Price", not "int"' in done.stdout
