"""The suite's own modules are no test files by name; their asserts explain themselves all the same."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    "tests.store.conform_claiming",
    "tests.store.conform_creating",
    "tests.store.conform_grouping",
    "tests.store.conform_hands",
    "tests.store.conform_reading",
    "tests.store.conform_recording",
    "tests.store.conform_running",
    "tests.store.conform_transitions",
    "tests.store.conform_upkeep",
)
