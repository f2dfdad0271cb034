"""Asserts of the model's own modules explain themselves."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    *(
        f"tests.model.{name}"
        for name in ("base", "creating", "dying", "hands", "machine", "racing", "running", "troubling", "world")
    )
)
