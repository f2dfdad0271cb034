"""Header fields: refused, or nobody's business (I08, I09, S04)."""

from __future__ import annotations

import pytest

from quart_app.web.protection.auth import FORWARDING
from tests.hostile.attack import Attack
from tests.hostile.corpus.fields import IGNORED, NO_HOSTS, REFUSED
from tests.hostile.wire import Field, post_json, request

JSON: Field = (b"Content-Type", b"application/json")


def test_fields_that_cannot_be_meant_are_refused(attack: Attack) -> None:
    for name, fields in REFUSED.items():
        attack.refused(name, request("POST", "/tasks/echo", b"{}", [JSON, *fields]), 400, 403, 415, 431)


def test_too_many_or_too_large_fields_are_refused_on_every_route(attack: Attack) -> None:
    many: list[Field] = [(b"X-%d" % number, b"v") for number in range(150)]
    for path in (
        "/",
        "/hello",
        "/health",
        "/ready",
        "/status",
        "/start/1/2",
        "/tasks",
        "/nowhere",
        f"/tasks/{attack.done}",
    ):
        attack.refused(path, request("GET", path, None, many), 431)
        attack.refused(path, request("GET", path, None, [(b"X", b"v" * 16_400)]), 431)


def test_a_host_that_is_no_host_is_refused(attack: Attack) -> None:
    for host in NO_HOSTS:
        attack.refused(f"POST {host!r}", request("POST", "/tasks/echo", b"{}", [JSON], host), 400)
        attack.refused(f"GET {host!r}", request("GET", "/hello", None, [], host), 400)


def test_other_fields_change_nothing(attack: Attack) -> None:
    for field in IGNORED:
        if field[0].lower().startswith(b"x-forwarded") or field[0].lower() in FORWARDING:
            # Without keys: whoever is behind that proxy would be the operator.
            attack.refused(f"{field!r}", request("GET", f"/tasks/{attack.done}", None, [field]), 403)
            continue
        reply = attack.answered(f"{field!r}", request("GET", f"/tasks/{attack.done}", None, [field]), 200)
        if reply.status == 200 and reply.json["task_id"] != attack.done:
            attack.fail(f"{field!r} answers something else", reply)


FOREIGN: list[Field] = [
    (b"Sec-Fetch-Site", b"cross-site"),
    (b"Sec-Fetch-Site", b"same-site"),
    (b"Sec-Fetch-Site", b"anything"),
    (b"Origin", b"https://evil.example"),
    (b"Origin", b"null"),
    (b"Origin", b"http://[::1"),
]
AHEAD: list[Field] = [(b"Purpose", b"prefetch"), (b"Sec-Purpose", b"prefetch;prerender"), (b"X-Moz", b"prefetch")]


@pytest.mark.parametrize("field", [*FOREIGN, *AHEAD])
def test_a_link_of_another_site_or_a_prefetch_starts_nothing(attack: Attack, field: Field) -> None:
    for path in ("/", "/hello"):
        attack.answered(path, request("GET", path, None, [field]), 200)
    attack.refused("/start/1/2", request("GET", "/start/1/2", None, [field]), 403)


@pytest.mark.parametrize("field", FOREIGN)
def test_a_form_of_another_site_starts_nothing(attack: Attack, field: Field) -> None:
    for content_type in (
        b"text/plain",
        b"application/x-www-form-urlencoded",
        b"multipart/form-data",
        b"application/json",
    ):
        fields = [(b"Content-Type", content_type), field]
        for target in ("/tasks/echo", "/tasks", f"/tasks/{attack.later}/cancel"):
            attack.refused(f"{target} {content_type!r}", request("POST", target, b"{}", fields), 403)
    attack.refused("DELETE", request("DELETE", f"/tasks/{attack.done}", None, [field]), 403)


def test_a_refused_request_leaves_the_connection_usable(attack: Attack) -> None:
    for raw in (
        post_json("/tasks/echo", b"{"),
        post_json("/tasks/unknown", b"{}"),
        request("POST", "/tasks/echo", b"{}", [(b"Content-Type", b"text/plain")]),
        request("GET", "/tasks?limit=x"),
        request("GET", "/nowhere"),
    ):
        attack.wire.close()
        attack.wire.send(raw + request("GET", "/health"))
        assert 400 <= attack.wire.read().status < 500
        assert attack.wire.read().status == 200
