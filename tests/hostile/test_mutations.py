"""Good requests with a few bytes changed, added or lost. They are the same in every run; a failure shows the bytes."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from tests.hostile.attack import Attack
from tests.hostile.wire import Reply, post_json, request

SEED = 20
BYTES = b"\x00\t\r\n\x1b \"%&'+,-./0:;=?@[\\]{}\x7f\x80\xc3\xff" + b"AZaz"


def mutations(raw: bytes, count: int) -> Iterator[bytes]:
    random = Random(SEED)
    for _ in range(count):
        changed = bytearray(raw)
        for _ in range(random.randint(1, 3)):
            place = random.randrange(len(changed))
            match random.randrange(4):
                case 0:
                    changed[place] = random.choice(BYTES)
                case 1:
                    changed.insert(place, random.choice(BYTES))
                case 2:
                    del changed[place]
                case 3:
                    changed[place:place] = changed[place : place + random.randint(1, 20)]
        yield bytes(changed)


def is_fine(reply: Reply) -> bool:
    """Served, refused by us, or no HTTP to Hypercorn (501: a Transfer-Encoding it does not know)."""
    if reply.status in (200, 304):
        return True
    return reply.is_problem if reply.body else reply.is_hypercorns or reply.status == 501


def test_a_few_wrong_bytes_in_a_request_without_a_body(attack: Attack) -> None:
    headers = [(b"If-None-Match", b'"1"'), (b"Origin", b"http://localhost"), (b"Prefer", b"wait=1")]
    for target in (
        f"/tasks/{attack.done}?wait=0.5",
        "/tasks?status=failed&limit=5&created_after=2030-01-01T00:00:00Z&cursor=9",
    ):
        for raw in mutations(request("GET", target, None, headers), 700):
            reply = attack.ask(raw, end=True)
            attack.wire.close()
            if not is_fine(reply):
                attack.fail(repr(raw), reply)


def test_a_few_wrong_bytes_in_a_request_that_is_refused_anyway(attack: Attack) -> None:
    body = rb'{"x": -12.5e1, "z": {"a": [1, true, null, "\u00e9\n", {"b": "c"}]}}'
    for target in ("/tasks/add?tag=a%20b&priority=5&delay=1.5", "/tasks"):
        good = post_json(target, body, (b"Idempotency-Key", b"mutation"))
        for raw in mutations(good, 700):
            reply = attack.ask(raw, end=True)
            attack.wire.close()
            if not is_fine(reply) or reply.status == 202:
                attack.fail(repr(raw), reply)
