"""Strict on the way in: whatever two parsers could read differently, and whatever is too large, is refused."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from quart_app.core import codec
from quart_app.core.errors import InvalidInput

DEEPEST = codec.MAX_DEPTH


def refused(data: bytes) -> str:
    with pytest.raises(InvalidInput) as caught:
        codec.decode(data)
    assert len(caught.value.detail) < 300, "what a client sent must not come back at full length"
    return caught.value.detail


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"{}", {}),
        (b"null", None),
        (b' [1, 2.5, -3e2, true, false, null, ""] ', [1, 2.5, -300.0, True, False, None, ""]),
        (b'"\\u00e9\\ud83d\\ude00"', "é😀"),
        ('"é😀\u2028\u202e"'.encode(), "é😀\u2028\u202e"),
        (b'"\\\\u0000"', "\\u0000"),
        (b'{"a":{"a":1},"b":{"a":2}}', {"a": {"a": 1}, "b": {"a": 2}}),
        (b"9007199254740993", 9007199254740993),
        (b"-9223372036854775809", -(2**63) - 1),
        (b"-0", 0),
        (b"1e308", 1e308),
        (b"1e-999", 0.0),
    ],
)
def test_well_formed_json_is_read_exactly(data: bytes, value: Any) -> None:
    assert codec.decode(data) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"{",
        b"[1,]",
        b"{'a':1}",
        b"{a:1}",
        b"[1] 2",
        b"{}{}",
        b"tru",
        b"// a comment\n{}",
        b'"\x01"',
        b'"\n"',
        b'"\\x41"',
        b'"\\u00g0"',
        b"01",
        b"+1",
        b".5",
        b"1.",
        b"0x10",
        b"1_0",
        "٣".encode(),
        b"\x00{}",
        b'{"a":1}\x00junk',
    ],
)
def test_malformed_json_is_refused_with_its_place(data: bytes) -> None:
    assert "malformed JSON" in refused(data)


@pytest.mark.parametrize(
    "data", [b'{"a":1,"a":1}', b'{"a":1,"b":2,"a":3}', b'[{"x":{"a":1,"\\u0061":2}}]', b'{"":1,"":2}']
)
def test_duplicate_keys_are_refused_at_every_depth(data: bytes) -> None:
    assert "duplicate key" in refused(data)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("around", ["%s", "[%s]", '{"a":%s}'])
def test_numbers_that_json_does_not_have_are_refused(word: str, around: str) -> None:
    assert word in refused((around % word).encode())


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1e309", "1" + "0" * 400 + ".0"])
def test_floats_that_overflow_are_refused(number: str) -> None:
    assert "too large" in refused(f"[{number}]".encode())


@pytest.mark.parametrize(
    "data",
    [
        b'"\\u0000"',
        b'{"\\u0000":1}',
        b'["a\\u0000b"]',
        b'"\\ud800"',
        b'"\\udfff"',
        b'{"\\ud83d":1}',
        b'[{"deep":["x\\udc00"]}]',
        b'"\\ude00\\ud83d"',
    ],
)
def test_nul_and_lone_surrogates_are_refused_in_values_and_in_keys(data: bytes) -> None:
    assert "NUL or a lone surrogate" in refused(data)


@pytest.mark.parametrize(
    "data",
    [
        b'"\xff"',
        b'"\xc3"',
        b'"\xed\xa0\x80"',
        b'"\xc0\x80"',
        b"\x80",
        '"é"'.encode("latin-1"),
        '{"a":1}'.encode("utf-16"),
    ],
)
def test_bytes_that_are_not_utf_8_are_refused(data: bytes) -> None:
    assert "UTF-8" in refused(data)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16-le", "utf-32-le"])
def test_a_byte_order_mark_or_a_wider_encoding_is_refused(encoding: str) -> None:
    refused('{"a":1}'.encode(encoding))


def nested(opening: str, closing: str, depth: int, core: str) -> bytes:
    return (opening * depth + core + closing * depth).encode()


@pytest.mark.parametrize(("opening", "closing", "core"), [("[", "]", ""), ("[", "]", "1"), ('{"a":', "}", "1")])
def test_sixty_four_levels_are_read_and_the_sixty_fifth_is_refused(opening: str, closing: str, core: str) -> None:
    codec.decode(nested(opening, closing, DEEPEST, core))
    assert "64 levels" in refused(nested(opening, closing, DEEPEST + 1, core))


@pytest.mark.parametrize("depth", [500, 1_000, 10_000, 100_000])
def test_absurd_nesting_is_refused_like_a_little_too_much(depth: int) -> None:
    assert "64 levels" in refused(nested("[", "]", depth, ""))
    assert "64 levels" in refused(nested('{"a":', "}", depth, "1"))


def test_ten_thousand_values_are_read_and_one_more_is_refused() -> None:
    numbers = ",".join("1" * (codec.MAX_NODES - 1))
    assert len(codec.decode(f"[{numbers}]".encode())) == codec.MAX_NODES - 1
    assert "10000 values" in refused(f"[{numbers},1]".encode())


def test_values_are_counted_over_all_levels_and_objects_count_too() -> None:
    rows = [[0] * 99 for _ in range(101)]
    assert "values" in refused(json.dumps(rows).encode())
    assert "values" in refused(json.dumps({str(key): key for key in range(codec.MAX_NODES)}).encode())


def test_a_caller_may_allow_more_values() -> None:
    assert len(codec.decode(b"[" + b",".join([b"1"] * 20_000) + b"]", max_nodes=20_001)) == 20_000


@pytest.mark.parametrize("sign", ["", "-"])
def test_integers_of_a_thousand_digits_are_read_and_longer_ones_refused(sign: str) -> None:
    assert codec.decode(f"{sign}{'9' * 1000}".encode()) == int(f"{sign}{'9' * 1000}")
    for digits in (1001, 5000, 100_000):
        assert "1000 digits" in refused(f'{{"n":{sign}{"9" * digits}}}'.encode())


def test_what_was_decoded_is_written_compactly_and_read_back_the_same() -> None:
    value = codec.decode(b'{ "n" : 123456789012345678901234567890 , "f" : 1.5, "s" : "\\u00e9", "l" : [ null, true ] }')
    text = codec.compact(value)
    assert text == '{"n":123456789012345678901234567890,"f":1.5,"s":"é","l":[null,true]}'
    assert codec.loads(text) == value
    assert codec.loads(codec.compact(10**999)) == 10**999


def test_a_duplicate_at_the_end_of_a_large_object_is_found_without_counting_every_key() -> None:
    # Counting each key took four seconds for these 180 KB, and a minute for what a body may hold.
    keys = ",".join(f'"k{number}":0' for number in range(20_000))
    with pytest.raises(InvalidInput, match="duplicate key 'k19999'"):
        codec.decode(f'{{{keys},"k19999":1}}'.encode(), max_nodes=100_000)


MEBIBYTE = 1_048_576
DENSE = {
    "numbers": b"1e308,",
    "objects": b"{},",
    "lists": b"[],",
    "strings": b'"",',
    "digits": b"1,",
    "pairs": b'{"k":0},',
    "blanks": b"[ ] ,",
    "escapes": b'"\\\\\\"",',
    "wide": '"\u00e9",'.encode(),
    "just deep enough": b"[" * 60 + b"]" * 60 + b",",
}


class Unasked:
    """In place of the decoder: it must not be asked to make what will be refused."""

    def decode(self, text: str) -> Any:
        raise AssertionError(f"{len(text)} characters were decoded")


@pytest.mark.parametrize("unit", DENSE)
def test_too_many_values_are_refused_before_one_is_made(monkeypatch: pytest.MonkeyPatch, unit: str) -> None:
    monkeypatch.setattr(codec, "_DECODER", Unasked())
    assert "10000 values" in refused(b"[" + DENSE[unit] * (MEBIBYTE // len(DENSE[unit])) + b"0]")


def test_absurd_nesting_is_refused_before_a_level_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "_DECODER", Unasked())
    assert "64 levels" in refused(b"[" * MEBIBYTE)
    assert "64 levels" in refused(b'{"a":' * (MEBIBYTE // 5))


@pytest.mark.parametrize(
    "text", [",[{:" * 90_000, '\\",' * 90_000, "\\" * 100_001 + ",", '","' * 90_000, "[]" * 90_000]
)
def test_what_stands_in_a_string_is_no_value(text: str) -> None:
    for value in (text, [text, 1], {text: text}, [{"a": [text]}, "\\", text]):
        assert codec.decode(json.dumps(value).encode()) == value


def random_value(dice: random.Random, depth: int) -> Any:
    match dice.randrange(8 if depth else 5):
        case 0:
            return dice.choice([None, True, 0, -1.5e300, 10**30])
        case 1 | 2 | 3 | 4:
            return "".join(dice.choices(',:[]{}"\\/ \n0\u00e9', k=dice.randrange(6)))
        case 5:
            return {str(random_value(dice, 0)): random_value(dice, depth - 1) for _ in range(dice.randrange(4))}
        case _:
            return [random_value(dice, depth - 1) for _ in range(dice.randrange(4))]


def nodes(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + len(value) + sum(map(nodes, value.values()))
    return 1 + sum(map(nodes, value)) if isinstance(value, list) else 1


def test_the_count_before_is_the_count_after() -> None:
    dice = random.Random(8259)
    for _ in range(3000):
        value = random_value(dice, 5)
        data = json.dumps(value, indent=dice.choice([None, 1]), ensure_ascii=dice.random() < 0.5).encode()
        codec._bound(data, nodes(value))
        assert codec.decode(data, nodes(value)) == value
        with pytest.raises(InvalidInput, match="values"):
            codec._bound(data, nodes(value) - 1)
