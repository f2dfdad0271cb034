"""What the client raises when the service does not do what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class TaskServiceError(Exception):
    """The service did not do what was asked. `problem` is its problem document; empty when it did not answer."""

    def __init__(self, line: str, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(line)
        self.problem: dict[str, Any] = dict(problem or {})


class Refused(TaskServiceError):
    """The service answered with a status from 400 to 499; `problem["status"]` is the number."""


class NotFound(Refused):
    """There is no such task, or kind (404)."""


class Unavailable(TaskServiceError):
    """The service did not answer, or was not ready, for as long as the client may try. `problem` is the document of the
    last answer, if there was one."""
