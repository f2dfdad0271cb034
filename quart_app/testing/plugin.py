"""The fixtures for pytest: `pytest_plugins = ["quart_app.testing"]`."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Generator, Iterable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from quart_app.engine.registry import Declared
from quart_app.testing.task_kit import TaskKit

if TYPE_CHECKING:
    from quart import Quart


@pytest.fixture
def task_modules() -> Iterable[Declared | ModuleType | str] | None:
    """What declares the kinds: modules, their names, `.py` files. Override it; else it is QUART_APP_TASKS."""
    return None


@pytest.fixture
def kit_settings() -> Mapping[str, Any]:
    """Settings by their names, in lower case and without QUART_APP_. Override it."""
    return {}


@pytest.fixture
def kit_now() -> datetime.datetime | None:
    """When the clock of the kit starts, as an aware datetime. Override it; else it is the time it is."""
    return None


@pytest.fixture
def kit_app() -> Quart | None:
    """Your own app with QuartTasks, for `kit.client`. Override it; else it is that of create_app."""
    return None


async def _kit(
    task_modules: Iterable[Declared | ModuleType | str] | None,
    kit_settings: Mapping[str, Any],
    kit_now: datetime.datetime | None,
    kit_app: Quart | None,
) -> AsyncIterator[TaskKit]:
    """A TaskKit, open for this test."""
    made = TaskKit(task_modules, kit_settings, now=kit_now, app=kit_app)
    await made.open()
    yield made
    await made.close()


def _no_kit() -> None:
    pytest.fail("the fixture kit needs pytest-asyncio: pip install pytest-asyncio", pytrace=False)


try:
    import pytest_asyncio
except ModuleNotFoundError:
    kit: Any = pytest.fixture(_no_kit, name="kit")
else:
    kit = pytest_asyncio.fixture(_kit, name="kit")


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """A crash that never came fails the test itself, not its teardown."""
    outcome = yield
    kit = pyfuncitem.funcargs.get("kit")
    if isinstance(kit, TaskKit):
        kit.check()
    return outcome
