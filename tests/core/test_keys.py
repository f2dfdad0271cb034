"""The ring: whose key is this?"""

from __future__ import annotations

import pytest

from quart_app.core.keys import Caller, Key, KeyRing, hashed, parse

SECRET = "correct-horse-battery"


def key(name: str, secret: str = SECRET, *scopes: str) -> Key:
    return Key(name, hashed(secret), scopes or ("read",))  # type: ignore[arg-type]


def test_a_key_finds_its_caller_and_nothing_else_does() -> None:
    ring = KeyRing([key("ann")])
    assert ring.find(SECRET.encode()) == Caller("ann", frozenset({"read"}))
    for other in (b"", b"\x00", b"\xff\xfe", SECRET[:-1].encode(), SECRET.encode() + b" ", b"k" * 1_000_000):
        assert ring.find(other) is None
    assert ring.find(bytes.fromhex(hashed(SECRET))) is None, "its hash is no key"
    assert ring.find(hashed(SECRET).encode()) is None


def test_an_empty_ring_opens_nothing() -> None:
    assert not KeyRing()
    assert KeyRing().find(b"") is None


def test_what_is_removed_opens_nothing_and_its_name_is_free() -> None:
    ring = KeyRing([key("ann"), key("bob", "other")])
    ring.remove("ann")
    ring.remove("nobody")
    assert ring.find(SECRET.encode()) is None
    assert (len(ring), "ann" in ring, "bob" in ring) == (1, False, True)
    ring.add(key("ann"))
    assert ring.find(SECRET.encode()) is not None


def test_a_name_and_a_key_are_there_once() -> None:
    ring = KeyRing([key("ann")])
    for twice in (key("ann", "other"), key("bob")):
        with pytest.raises(ValueError, match="ann"):
            ring.add(twice)
    assert len(ring) == 1


@pytest.mark.parametrize(
    ("scopes", "sees"), [(("read",), "ann"), (("read", "write"), "ann"), (("admin",), None), ((), "ann")]
)
def test_who_has_the_scope_admin_has_all_and_sees_everybodys_tasks(scopes: tuple[str, ...], sees: str | None) -> None:
    found = KeyRing([Key("ann", hashed(SECRET), scopes)]).find(SECRET.encode())  # type: ignore[arg-type]
    assert found is not None
    assert found.sees == sees
    assert found.scopes == ({"read", "write", "admin"} if sees is None else set(scopes))


def test_the_setting_is_a_list_of_keys_that_read_and_write() -> None:
    found = parse(f"ann:{SECRET}, b.o-b_1:{'!:~' * 6}")
    assert [(one.name, one.scopes, one.source) for one in found] == [
        ("ann", ("read", "write"), "settings"),
        ("b.o-b_1", ("read", "write"), "settings"),
    ]
    assert [one.hash for one in found] == [hashed(SECRET), hashed("!:~" * 6)]
    assert parse("") == []


def test_neither_a_key_nor_an_error_shows_the_secret() -> None:
    assert SECRET not in repr(parse(f"ann:{SECRET}"))
    for text in (
        SECRET,
        f"ann:{SECRET},bob:{SECRET}",
        f"ann:{SECRET},ann:{SECRET}x",
        f"ann:{SECRET}\x01",
        f"{SECRET}:x",
    ):
        with pytest.raises(ValueError) as caught:
            parse(text)
        assert SECRET not in str(caught.value)
