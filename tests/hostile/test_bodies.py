"""Bodies: whatever is no clean JSON is refused by every endpoint that reads a body (I01 to I07)."""

from __future__ import annotations

import json

import pytest

from tests.hostile.attack import Attack
from tests.hostile.corpus import bodies, entries
from tests.hostile.corpus.fields import CONTENT_TYPES
from tests.hostile.wire import post_json, request

KINDS = ["echo", "add", "send-email"]


def targets(attack: Attack) -> list[str]:
    """Everything that reads a body; of the tasks, the one that such a request could not change anyway."""
    return [
        *(f"/tasks/{kind}" for kind in KINDS),
        "/tasks",
        f"/tasks/{attack.done}/cancel",
        f"/tasks/{attack.done}/retry",
    ]


def test_every_malformed_body_is_refused_everywhere(attack: Attack) -> None:
    for target in targets(attack):
        for name, body in bodies.malformed():
            attack.refused(f"POST {target}: {name}", post_json(target, body))
    assert attack.sent > 1000


def test_a_byte_that_may_stand_nowhere_is_refused_wherever_it_stands(attack: Attack) -> None:
    for name, body in bodies.flipped():
        attack.refused(name, post_json("/tasks", body), 400)


def test_bodies_with_too_many_values_or_bytes_are_refused_everywhere(attack: Attack) -> None:
    for target in targets(attack):
        for name, body in bodies.too_large():
            attack.refused(f"POST {target}: {name}", post_json(target, body))


def test_a_task_that_could_be_deleted_is_not_for_a_malformed_body(attack: Attack) -> None:
    headers = [(b"Content-Type", b"application/json")]
    for name, body in bodies.malformed():
        attack.refused(name, request("DELETE", f"/tasks/{attack.done}", body, headers), 400, 413)


@pytest.mark.parametrize("kind", KINDS)
def test_args_that_are_no_object_are_refused(attack: Attack, kind: str) -> None:
    for name, body in bodies.NOT_OBJECTS.items():
        attack.refused(name, post_json(f"/tasks/{kind}", body), 422)


def test_a_body_where_none_belongs_is_refused(attack: Attack) -> None:
    for name, body in {**bodies.NOT_OBJECTS, "an object": b'{"force": true}'}.items():
        for suffix in ("cancel", "retry"):
            attack.refused(f"{suffix}: {name}", post_json(f"/tasks/{attack.done}/{suffix}", body), 400)


def test_args_that_fit_no_signature_are_refused_alone_and_in_an_array(attack: Attack) -> None:
    for kind, args in entries.ARGS:
        attack.refused(f"{kind} {args}", post_json(f"/tasks/{kind}", json.dumps(args).encode()), 422)
        batch = [{"kind": "echo"}, {"kind": kind, "args": args}]
        attack.refused(f"in an array: {kind} {args}", post_json("/tasks", json.dumps(batch).encode()), 422)


def test_values_that_are_no_integers_are_refused(attack: Attack) -> None:
    for name, text in entries.NOT_INTEGERS.items():
        body = f'{{"x": {text}, "y": 1}}'.encode()
        attack.refused(name, post_json("/tasks/add", body), 422)


def test_bodies_that_are_not_called_json_are_refused(attack: Attack) -> None:
    for value in CONTENT_TYPES:
        for target in targets(attack):
            attack.refused(f"{target} {value!r}", request("POST", target, b"{}", [(b"Content-Type", value)]), 415)
    attack.refused("none at all", request("POST", "/tasks/echo", b"{}"), 415)
