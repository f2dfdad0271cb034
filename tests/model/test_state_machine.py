"""Random histories of a whole system against a simple model of it; a failing one is shrunk and printed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("hypothesis", reason="pip install -r requirements-dev.txt brings hypothesis")

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import TaskMachine
from tests.model.world import World

pytestmark = pytest.mark.once

EXAMPLES = 100
STEPS = 40


@pytest.fixture(scope="module", autouse=True)
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A migrated file to copy: making one takes longer than a history."""
    folder = tmp_path_factory.mktemp("template")
    World(folder).end()
    TaskMachine.template = Path(folder) / "0.db"
    yield
    TaskMachine.template = None


def test_every_history_of_tasks_crashes_and_hands_is_as_the_model_says() -> None:
    run_state_machine_as_test(
        TaskMachine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
