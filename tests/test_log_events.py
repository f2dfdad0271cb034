"""From a record to a line: bounded, one line, readable by a machine, whatever somebody logs."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from quart_app.process import logs


def lines(message: object, *args: object, **extra: Any) -> tuple[dict[str, Any], str]:
    """The event as the file has it, and the line of the console."""
    record = logging.getLogger("somebody").makeRecord(
        "somebody", logging.INFO, "f", 1, message, args, None, extra=extra
    )
    event = logs._event(record)
    text = logs._as_json(event)
    assert text.isprintable()
    assert "\n" not in logs._for_people({name: value for name, value in event.items() if name != "exception"})
    return json.loads(text), logs._for_people(event)


class Awkward:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "sign", ["\n", "\r", "\x00", "\x1b[2J", "\u2028", "\x7f", "\x85", "\u202e", "\ud800", "\U000e0001"]
)
def test_no_sign_breaks_a_line_and_the_file_has_it_all_the_same(sign: str) -> None:
    event, console = lines(f"a{sign}b", fields={f"n{sign}": f"v{sign}"}, task_id=f"t{sign}")
    assert (event["event"], event[f"n{sign}"], event["task_id"]) == (f"a{sign}b", f"v{sign}", f"t{sign}")
    assert sign not in console


@pytest.mark.parametrize("name", ["time", "level", "logger", "event", "task_id", "exception"])
def test_a_field_never_replaces_one_of_ours(name: str) -> None:
    plain, _ = lines("text", task_id="ours")
    event, _ = lines("text", task_id="ours", fields={name: "forged"})
    assert event[f"{name}_"] == "forged"
    assert event.get(name) == plain.get(name) or name == "time"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (2**63, str(2**63)),
        (float("nan"), "nan"),
        ({"a": [1]}, "{'a': [1]}"),
        (b"x", "b'x'"),
        (None, None),
        (True, True),
        (1.5, 1.5),
        (Awkward(), "<a Awkward that cannot be shown>"),
    ],
)
def test_a_value_that_json_cannot_say_is_written_as_python_shows_it(value: object, shown: object) -> None:
    assert lines("text", fields={"value": value})[0]["value"] == shown


@pytest.mark.parametrize(("message", "args"), [("%d", ("x",)), ("%s %s", (1,)), ("%s", (Awkward(),)), ("%", (1,))])
def test_arguments_that_do_not_fit_cost_no_line(message: str, args: tuple[object, ...]) -> None:
    assert lines(message, *args)[0]["event"] == f"{message} (its arguments do not fit)"


def test_a_line_is_bounded_in_every_direction() -> None:
    fields = {f"{number}" * 1000: "v" * 1_000_000 for number in range(1000)}
    event, console = lines("m" * 1_000_000, fields=fields, trace="t\n" * 1_000_000)
    assert len(event) <= logs.MAX_FIELDS + 6
    assert len(json.dumps(event)) < 150_000
    assert len(console) < 250_000


def test_what_another_handlers_formatter_left_on_the_record_is_no_field() -> None:
    record = logging.getLogger("somebody").makeRecord("somebody", logging.INFO, "f", 1, "text", (), None)
    logging.Formatter("%(asctime)s %(message)s").format(record)
    assert set(logs._event(record)) == {"time", "level", "logger", "event"}
