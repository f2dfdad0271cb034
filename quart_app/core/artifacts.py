"""Files that tasks make for users, served under `/reports/`. The name of each file has the id of its task. The owner of
the task owns the file, and the file is removed after the task's row."""

from __future__ import annotations

import re
from typing import Final

FOLDER: Final = "reports"
OUTBOX: Final = "outbox"  # mails, when no mail server is set; they are never served
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
_MAIL: Final = re.compile(rf"({_UUID})(?:(?:\.[0-9a-f]{{12}})?\.eml|\.body\.txt)", re.ASCII)


def file_name(subject: str, task_id: str, suffix: str) -> str:
    """`subject` is 1 to 32 lower case letters, `suffix` one of MEDIA."""
    return f"{subject}-{task_id}.{suffix}"


def file_url(name: str) -> str:
    return f"/{FOLDER}/{name}"


def task_of(name: str) -> str | None:
    """The id of the task that made the file of this name; None when it is no name of such a file."""
    found = _NAME.fullmatch(name)
    return found[1] if found else None


def body_name(task_id: str) -> str:
    """The name of the outbox file with the text that all mails of one mailing share."""
    return f"{task_id}.body.txt"


def task_of_mail(name: str) -> str | None:
    """The id of the task that wrote the mail or body of this name into the outbox; None when it is no such name."""
    found = _MAIL.fullmatch(name)
    return found[1] if found else None


def media_of(name: str) -> str:
    """The media type of a file whose name `task_of` accepts."""
    return MEDIA[name.rpartition(".")[2]]
