"""Names of files say whose they are, and nothing else is a name."""

from __future__ import annotations

import pytest

from quart_app.core import artifacts

TASK = "01a1fc91-bf65-7cf5-9e74-aba76276041c"


@pytest.mark.parametrize("suffix", artifacts.MEDIA)
def test_a_name_leads_back_to_its_task(suffix: str) -> None:
    name = artifacts.file_name("tasks", TASK, suffix)
    assert artifacts.task_of(name) == TASK
    assert artifacts.media_of(name) == artifacts.MEDIA[suffix]


@pytest.mark.parametrize(
    "name",
    ["", TASK, f"{TASK}.pdf", f"tasks-{TASK}", f"tasks-{TASK}.exe", f"tasks-{TASK}.pdf\n", f"../tasks-{TASK}.pdf",
     f"tasks-{TASK.upper()}.pdf", f".tasks-{TASK}.pdf.0.1.tmp", f"tasks-{TASK[:-1]}.pdf", f"t\x00-{TASK}.pdf"],
)  # fmt: skip
def test_no_other_name_has_a_task(name: str) -> None:
    assert artifacts.task_of(name) is None
