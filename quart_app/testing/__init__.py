"""What users test their tasks with: the fixture `kit` of pytest (`pytest_plugins = ["quart_app.testing"]`); TaskKit.
See docs/how-to/testing.md.

PYTEST_DONT_REWRITE: a conftest may import it before pytest takes it for a plugin."""

from __future__ import annotations

from quart_app.testing.kit_task import KitError, KitTask
from quart_app.testing.task_kit import TaskKit

try:
    from quart_app.testing.plugin import kit, kit_app, kit_now, kit_settings, pytest_pyfunc_call, task_modules
except ModuleNotFoundError as error:
    if error.name != "pytest":
        raise

__all__ = [
    "KitError",
    "KitTask",
    "TaskKit",
    "kit",
    "kit_app",
    "kit_now",
    "kit_settings",
    "pytest_pyfunc_call",
    "task_modules",
]
