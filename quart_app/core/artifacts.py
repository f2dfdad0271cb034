"""Files that tasks make for people, served under `/reports/`. Each carries the id of its task in its name: the task's
row says whose it is, and when the row is gone the file goes too."""

from __future__ import annotations

import re
from typing import Final

FOLDER: Final = "reports"
OUTBOX: Final = "outbox"  # mails, where no server is set; nobody is served those
MEDIA: Final = {
    "pdf": "application/pdf",
    "csv": "text/csv; charset=utf-8",
    "png": "image/png",
    "jpg": "image/jpeg",
    "json": "application/json",
}
_UUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
PATTERN: Final = rf"^[a-z]{{1,32}}-({_UUID})\.({'|'.join(MEDIA)})$"
_NAME: Final = re.compile(PATTERN, re.ASCII)
_MAIL: Final = re.compile(rf"({_UUID})(\.[0-9a-f]{{12}})?\.eml", re.ASCII)


def file_name(subject: str, task_id: str, suffix: str) -> str:
    """`subject` is a word in lower case, `suffix` one of MEDIA."""
    return f"{subject}-{task_id}.{suffix}"


def file_url(name: str) -> str:
    return f"/{FOLDER}/{name}"


def task_of(name: str) -> str | None:
    """The id of the task that made the file of this name; None when no task can have made it."""
    found = _NAME.fullmatch(name)
    return found[1] if found else None


def task_of_mail(name: str) -> str | None:
    """The id of the task that wrote the mail of this name into the outbox; None when no task can have."""
    found = _MAIL.fullmatch(name)
    return found[1] if found else None


def media_of(name: str) -> str:
    """The media type of a file that `task_of` knows."""
    return MEDIA[name.rpartition(".")[2]]
