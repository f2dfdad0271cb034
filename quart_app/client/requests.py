"""Makes requests of what a caller gives: ids, options, filters."""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from quart_app.client.errors import NotFound
from quart_app.client.task import Kind, Task, json_of
from quart_app.core.task import KIND_PATTERN

JSON: Final = {"Content-Type": "application/json"}
WHOLE: Final = {"Prefer": "return=representation"}

_ID: Final = re.compile(r"[0-9A-Za-z-]{1,100}", re.ASCII)
_NAME: Final = re.compile(KIND_PATTERN, re.ASCII)
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)

Query = tuple[tuple[str, str], ...]


def id_of(task: str | Task[Any]) -> str:
    """Raises NotFound for a text that is no id: in a path it could lead to another address."""
    task_id = task if isinstance(task, str) else task.task_id
    if not _ID.fullmatch(task_id):
        raise not_found("Task not found")
    return task_id


def path_of(task: str | Task[Any], *more: str) -> str:
    """The path of a task, or of something below it. Raises NotFound."""
    return "/".join(("/tasks", id_of(task), *more))


def kind_of(kind: str | Kind[Any]) -> tuple[str, Callable[..., Any] | None]:
    """The name of a kind, and its function where `kind` is what `@task` made of it. Raises NotFound."""
    name, function = (kind, None) if isinstance(kind, str) else (kind.name, kind.function)
    if not _NAME.fullmatch(name):
        raise not_found("Unknown kind")
    return name, function


def name_of(name: str) -> str:
    """The name of a signal. Raises ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"a signal's name is as that of a kind, not {name!r:.100}")
    return name


def not_found(title: str) -> NotFound:
    return NotFound(f"404 {title}", {"type": "about:blank", "title": title, "status": 404})


def idempotency_key(given: str | None) -> str:
    """The caller's key, or a new one. Raises ValueError."""
    if given is None:
        return uuid.uuid4().hex
    if not _KEY.fullmatch(given):
        raise ValueError("an idempotency key has 1 to 255 visible ASCII characters")
    return given


def query_of(options: Mapping[str, Any]) -> Query:
    """Options or filters as a query. None: left out. `tags`: one `tag` each. Raises TypeError, ValueError."""
    found: list[tuple[str, str]] = []
    for name, value in options.items():
        if name == "tags":
            found += [("tag", tag) for tag in texts_of(name, value)]
        elif value is not None:
            found.append((name, _text(name, value)))
    return tuple(found)


def item_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of a batch as JSON, with an idempotency key. Raises NotFound, ValueError."""
    found = {name: _plain(name, value) for name, value in item.items() if value is not None}
    found["kind"], _ = kind_of(item["kind"])
    found["idempotency_key"] = idempotency_key(item.get("idempotency_key"))
    return found


def changes_of(changes: Mapping[str, Any]) -> bytes:
    """The body of a change. Raises TypeError, ValueError."""
    return json_of({name: _plain(name, value) for name, value in changes.items()}, "the changes")


def filter_of(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The filter of a bulk task as JSON. Raises ValueError."""
    return {name: _plain(name, value) for name, value in wanted.items() if value is not None}


def texts_of(name: str, value: Any) -> Iterable[str]:
    """Raises TypeError for one text, which would be taken apart into its letters."""
    if isinstance(value, str):
        raise TypeError(f"{name} is a list of texts")
    return value if value is not None else ()


def _plain(name: str, value: Any) -> Any:
    """A value of an option in JSON."""
    if isinstance(value, datetime.datetime):
        return _moment(name, value)
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if name == "tags":
        return list(texts_of(name, value))
    return kind_of(value)[0] if name == "kind" else value


def _text(name: str, value: Any) -> str:
    """A value of an option in a query."""
    value = _plain(name, value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".")  # the service takes no exponents
    return str(value)


def _moment(name: str, value: datetime.datetime) -> str:
    """RFC 3339. Raises ValueError for a time that could be any zone's."""
    if value.utcoffset() is None:
        raise ValueError(f"{name} needs a time zone, as datetime.now(timezone.utc) has one")
    return value.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")
