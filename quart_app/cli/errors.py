"""Errors that end a command: `str()` is the line for stderr, `exit_code` the code (docs/reference/command-line.md)."""

from __future__ import annotations

from quart_app.core.errors import QuartAppError


class CommandError(QuartAppError):
    """The command could not do what it was asked."""

    exit_code = 1


class WrongUse(CommandError):
    """A mistake in the command itself."""

    exit_code = 2


class Refused(CommandError):
    """The server answered with a problem document; `status` is its HTTP status."""

    def __init__(self, line: str, status: int) -> None:
        super().__init__(line)
        self.status = status


class NoAnswer(CommandError):
    """No server answers at the address."""

    exit_code = 69


class Held(CommandError):
    """A process holds the database and does not answer."""

    exit_code = 75


class CannotWrite(CommandError):
    """A file or folder cannot be written."""

    exit_code = 74
