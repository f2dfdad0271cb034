"""The ring: whose key is this?"""

from __future__ import annotations

import pytest

from quart_app.core.keys import Caller, Key, KeyRing, hashed, parse

NOW = 1_000
SECRET = "correct-horse-battery"


def key(name: str, secret: str = SECRET, *scopes: str) -> Key:
    return Key(name, hashed(secret), scopes or ("read",))  # type: ignore[arg-type]


def test_a_key_finds_its_caller_and_nothing_else_does() -> None:
    ring = KeyRing([key("ann")])
    assert ring.find(SECRET.encode(), NOW) == Caller("ann", frozenset({"read"}))
    for other in (b"", b"\x00", b"\xff\xfe", SECRET[:-1].encode(), SECRET.encode() + b" ", b"k" * 1_000_000):
        assert ring.find(other, NOW) is None
    assert ring.find(bytes.fromhex(hashed(SECRET)), NOW) is None, "its hash is no key"
    assert ring.find(hashed(SECRET).encode(), NOW) is None


def test_an_empty_ring_opens_nothing() -> None:
    assert not KeyRing()
    assert KeyRing().find(b"", NOW) is None


def test_what_is_removed_opens_nothing_and_its_name_is_free() -> None:
    ring = KeyRing([key("ann"), key("bob", "other")])
    ring.remove("ann")
    ring.remove("nobody")
    assert ring.find(SECRET.encode(), NOW) is None
    assert (len(ring), "ann" in ring, "bob" in ring) == (1, False, True)
    ring.add(key("ann"))
    assert ring.find(SECRET.encode(), NOW) is not None


def test_a_name_and_a_key_are_there_once() -> None:
    ring = KeyRing([key("ann")])
    for twice in (key("ann", "other"), key("bob")):
        with pytest.raises(ValueError, match="ann"):
            ring.add(twice)
    assert len(ring) == 1


def test_each_secret_of_a_key_opens_until_its_own_time() -> None:
    rotated = Key(
        "ann", hashed("new"), ("read",), 1, expires_at=900, old_hash=hashed("old"), old_until=500, kinds=("a",)
    )
    ring = KeyRing([rotated])
    for at, opens in ((499, ("new", "old")), (500, ("new",)), (899, ("new",)), (900, ())):
        assert tuple(text for text in ("new", "old") if ring.find(text.encode(), at)) == opens
        assert (ring.of("ann", at) is not None) == ("new" in opens)
    expired = ring.expired(b"old")
    assert expired is not None
    assert (expired.name, expired.kinds, expired.until) == ("ann", frozenset({"a"}), 500)
    ring.remove("ann")
    assert (ring.expired(b"old"), ring.expired(b"new"), len(ring)) == (None, None, 0)


@pytest.mark.parametrize(
    ("scopes", "sees"), [(("read",), "ann"), (("read", "write"), "ann"), (("admin",), None), ((), "ann")]
)
def test_who_has_the_scope_admin_has_all_and_sees_everybodys_tasks(scopes: tuple[str, ...], sees: str | None) -> None:
    found = KeyRing([Key("ann", hashed(SECRET), scopes)]).find(SECRET.encode(), NOW)  # type: ignore[arg-type]
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
