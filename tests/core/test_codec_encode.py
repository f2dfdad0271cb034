"""Generous on the way out: characters are repaired, and what has no JSON form is refused by name."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import sys
import uuid
from collections import OrderedDict, namedtuple
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import pytest

from quart_app.core import codec
from quart_app.core.codec import NotJson

REPLACED = "\ufffd"


@dataclasses.dataclass
class Point:
    x: Any
    y: Any = 0


class Record(msgspec.Struct):
    name: str
    value: Any = None


class Colour(enum.Enum):
    RED = "red"


Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        ({}, "{}"),
        ({"a": [1, 2.5, "é", True, None]}, '{"a":[1,2.5,"é",true,null]}'),
        ((1, (2,)), "[1,[2]]"),
        (Pair(1, 2), "[1,2]"),
        (OrderedDict(b=1, a=2), '{"b":1,"a":2}'),
        ({7: "seven", None: 0, True: 1}, '{"7":"seven","null":0,"true":1}'),
        (Point(1, Point([2])), '{"x":1,"y":{"x":[2],"y":0}}'),
        (Record("n", {"k": Point("p")}), '{"name":"n","value":{"k":{"x":"p","y":0}}}'),
        ([Record("n")], '[{"name":"n","value":null}]'),
        (Colour.RED, '"red"'),
        (uuid.UUID(int=0), '"00000000-0000-0000-0000-000000000000"'),
        (datetime.date(2026, 1, 2), '"2026-01-02"'),
        (datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC), '"2026-01-02T03:04:05Z"'),
        (2**200, str(2**200)),
        (-(2**64), str(-(2**64))),
        ("\u2028\u202e😀\x7f", '"\u2028\u202e😀\x7f"'),
    ],
)
def test_what_a_developer_expects_to_be_json_is_json(value: Any, text: str) -> None:
    assert codec.encode(value) == text


class Stubborn:
    pass


def cycle() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


def dataclass_cycle() -> Point:
    point = Point(1)
    point.y = point
    return point


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        frozenset(),
        b"bytes",
        bytearray(b"x"),
        memoryview(b"x"),
        float("nan"),
        float("inf"),
        float("-inf"),
        Decimal("NaN"),
        Decimal("-Infinity"),
        1j,
        object(),
        Stubborn(),
        Stubborn,
        Point,
        Record,
        len,
        {(1, 2): 3},
        {b"k": 1},
        {Stubborn(): 1},
        (item for item in (1, 2)),
        range(3),
        ValueError("x"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v], lambda v: {"a": {"b": v}}], ids=["bare", "list", "dict"])
def test_what_has_no_json_form_is_refused_however_deep_it_lies(wrap: Any, value: Any) -> None:
    with pytest.raises(NotJson):
        codec.encode(wrap(value))


@pytest.mark.parametrize(
    "value",
    [{1}, frozenset({1}), b"x", bytearray(b"x"), float("nan"), Stubborn(), 10**4300, Decimal("NaN"), memoryview(b"x")],
    ids=["set", "frozenset", "bytes", "bytearray", "nan", "object", "4301 digits", "decimal nan", "memoryview"],
)
@pytest.mark.parametrize(
    "wrap", [Point, lambda v: Record("n", v), lambda v: [Point({"k": v})]], ids=["dataclass", "struct", "deep"]
)
def test_a_dataclass_or_struct_does_not_smuggle_in_what_is_refused_outside(wrap: Any, value: Any) -> None:
    with pytest.raises(NotJson):
        codec.encode(wrap(value))


def test_cycles_are_refused_in_lists_dicts_and_dataclasses() -> None:
    loop: dict[str, Any] = {}
    loop["self"] = {"again": loop}
    for value in (cycle(), loop, dataclass_cycle(), Record("n", cycle())):
        with pytest.raises(NotJson):
            codec.encode(value)


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize("depth", [1, 64, 500, 1_000, 3_000, 10_000, 100_000])
def test_what_is_written_can_be_read_back_however_deep_it_is(depth: int) -> None:
    try:
        text = codec.encode(nested(depth))
    except NotJson:
        assert depth > 900, "nobody would expect this to be refused"
    else:
        assert codec.encode(codec.loads(text)) == text


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        ("\x00", REPLACED),
        ("a\x00b\x00\x00c", f"a{REPLACED}b{REPLACED}{REPLACED}c"),
        ("\\\x00", f"\\{REPLACED}"),
        ("\\\\\x00", f"\\\\{REPLACED}"),
        ("\\u0000", "\\u0000"),
        ("\\\\u0000", "\\\\u0000"),
        ("\\u0000\x00\\\x00", f"\\u0000{REPLACED}\\{REPLACED}"),
        ("\ud800", REPLACED),
        ("x\udfffy\udc00", f"x{REPLACED}y{REPLACED}"),
        ("\x00\ud83d", REPLACED * 2),
        ("\ud83d\ude00", REPLACED * 2),
        ('"\x00"', f'"{REPLACED}"'),
    ],
)
def test_nul_and_lone_surrogates_are_replaced_in_values_and_keys_and_nothing_else_is(text: str, repaired: str) -> None:
    for value, expected in ((text, repaired), ({text: [text]}, {repaired: [repaired]}), (Point(text), None)):
        written = codec.encode(value)
        written.encode("utf-8")
        assert json.loads(written) == ({"x": repaired, "y": 0} if expected is None else expected)
        assert codec.loads(written) == json.loads(written)


@pytest.mark.parametrize("sign", [1, -1])
def test_integers_of_4300_digits_are_written_and_longer_ones_refused(sign: int) -> None:
    for value in (10**1000, 10**4300 - 1):
        assert codec.loads(codec.encode({"n": [sign * value]})) == {"n": [sign * value]}
    for value in (10**4300, 10**4301, 10**5000):
        with pytest.raises(NotJson, match="an integer of over 4300 digits"):
            codec.encode([{"n": sign * value}])


def test_the_limit_is_ours_where_python_has_none() -> None:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        with pytest.raises(NotJson, match="an integer of over 4300 digits"):
            codec.encode(10**5000)
    finally:
        sys.set_int_max_str_digits(before)


class Named(NamedTuple):
    amount: Decimal
    colour: Colour


@dataclasses.dataclass
class Order:
    id: uuid.UUID
    lines: list[Named]
    took: datetime.timedelta
    by_day: dict[datetime.date, Decimal]


_ID = uuid.UUID(int=7)
_DAY = datetime.date(2026, 2, 28)
VALUES: list[tuple[Any, Any]] = [
    (Decimal("1.50"), Decimal),
    (Decimal(2**70), Decimal),
    (datetime.timedelta(days=-1, microseconds=3), datetime.timedelta),
    (datetime.timedelta.max, datetime.timedelta),
    (datetime.time(1, 2, 3, 4), datetime.time),
    (datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=5.5))), datetime.datetime),
    (datetime.datetime(2026, 1, 2, 3, 4, 5, 6), datetime.datetime),
    (_DAY, datetime.date),
    (_ID, uuid.UUID),
    (Colour.RED, Colour),
    (Named(Decimal("0.1"), Colour.RED), Named),
    (Record("n", 1), Record),
    (Order(_ID, [Named(Decimal(1), Colour.RED)], datetime.timedelta(1), {_DAY: Decimal("2.0")}), Order),
    ({_ID: 1}, dict[uuid.UUID, int]),
    ({_DAY: [{Colour.RED: 1}]}, dict[datetime.date, list[dict[Colour, int]]]),
    ([(1, Decimal(2))], list[tuple[int, Decimal]]),
    (None, datetime.date | None),
]


@pytest.mark.parametrize(("value", "wanted"), VALUES, ids=lambda one: type(one).__name__)
def test_what_an_annotation_can_read_back_has_a_json_form_and_is_read_back_by_it(value: Any, wanted: Any) -> None:
    again = codec.readback(codec.encode(value), wanted)
    assert (type(again), again) == (type(value), value)


def test_a_class_of_attrs_is_read_back_and_hides_no_set() -> None:
    attrs = pytest.importorskip("attrs")
    place = attrs.make_class("Place", {"at": attrs.field(type=datetime.date)}, frozen=True)
    assert codec.readback(codec.encode([place(_DAY)]), list[place]) == [place(_DAY)]  # type: ignore[valid-type]
    with pytest.raises(NotJson, match="set is not JSON"):
        codec.encode(place({1}))


def test_what_is_no_such_value_is_read_back_as_it_is() -> None:
    assert codec.readback('"text"', datetime.date) == "text"
    assert codec.readback("[1]", Stubborn) == [1]


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ({1}, r"sorted\("),
        ([frozenset()], r"list\("),
        (b"x", "base64"),
        (Point({1}), r"sorted\("),
        (Point(b"x"), "base64"),
    ],
    ids=str,
)
def test_a_refusal_of_sets_and_bytes_says_how_to_return_them(value: Any, hint: str) -> None:
    with pytest.raises(NotJson, match=hint):
        codec.encode(value)


def test_a_long_run_of_digits_in_a_text_is_fine() -> None:
    value = {"text": "9" * 5000, "n": 1, "9" * 2000: 0.5}
    assert codec.loads(codec.encode(value)) == value


def test_the_reason_of_a_refusal_is_short() -> None:
    class Loud:
        pass

    Loud.__name__ = "L" * 10_000
    with pytest.raises(NotJson) as caught:
        codec.encode(Loud())
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize(
    ("text", "limit", "cleaned"),
    [
        ("plain", 10, "plain"),
        ("x" * 11, 10, "x" * 10),
        ("a\x00b", 10, f"a{REPLACED}b"),
        ("\ud800z", 10, f"{REPLACED}z"),
        ("", 10, ""),
        ("é😀", 2, "é😀"),
    ],
)
def test_a_text_for_a_column_has_no_nul_no_lone_surrogate_and_a_bound(text: str, limit: int, cleaned: str) -> None:
    assert codec.clean(text, limit) == cleaned
