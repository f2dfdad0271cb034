from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.testing import shop


@pytest.fixture
def task_modules() -> list[ModuleType]:
    return [shop]


@pytest.fixture(autouse=True)
def done() -> Iterator[list[str]]:
    """What the handlers of the shop have done."""
    shop.done.clear()
    yield shop.done
    shop.done.clear()
