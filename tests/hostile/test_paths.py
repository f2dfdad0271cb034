"""Paths, ids and methods (I11, I12)."""

from __future__ import annotations

from tests.hostile.attack import Attack
from tests.hostile.corpus.targets import ALLOWED, IDS, METHODS, NUMBERS, PATHS
from tests.hostile.wire import request


def test_an_id_that_is_none_is_404_on_every_route(attack: Attack) -> None:
    for task_id in IDS:
        for method, target in (
            ("GET", f"/tasks/{task_id}"),
            ("DELETE", f"/tasks/{task_id}"),
            ("GET", f"/tasks/{task_id}/history"),
            ("POST", f"/tasks/{task_id}/cancel"),
            ("POST", f"/tasks/{task_id}/retry"),
            ("GET", f"/status/{task_id}"),
            ("POST", f"/tasks/{task_id}"),
        ):
            # 405: two ids make another route of it ("history" is one), or a slash in it does.
            attack.refused(f"{method} {target}", request(method, target), 404, 405)


def test_what_is_no_integer_cannot_be_added(attack: Attack) -> None:
    for text in NUMBERS:
        for target in (f"/start/{text}/1", f"/start/1/{text}", f"/start/{text}/{text}", f"/cat/{text}"):
            attack.refused(target, request("GET", target), 400, 404)


def test_a_path_that_is_none_is_refused_for_every_method(attack: Attack) -> None:
    for path in PATHS:
        for method in ("GET", "POST", "DELETE", "PUT"):
            reply = attack.refused(f"{method} {path}", request(method, path), 404, 405)
            if b"evil.example" in reply.headers.get(b"location", b""):
                attack.fail(f"{method} {path} leads elsewhere", reply)


def test_every_method_on_every_path(attack: Attack) -> None:
    for path, methods in ALLOWED.items():
        allowed = methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
        for method in METHODS:
            if method in allowed:
                continue
            raw = request(method, path)
            if method == "HEAD":
                attack.answered(f"HEAD {path}", raw, 405)
                continue
            reply = attack.refused(f"{method} {path}", raw, 405)
            named = {name.strip().decode() for name in reply.headers.get(b"allow", b"").split(b",")}
            if reply.body and named != allowed:
                attack.fail(f"{method} {path} names {named}", reply)


def test_options_is_answered_everywhere_and_starts_nothing(attack: Attack) -> None:
    for path in ALLOWED:
        reply = attack.answered(f"OPTIONS {path}", request("OPTIONS", path), 200)
        assert b"OPTIONS" in reply.headers[b"allow"]


def test_head_has_no_body_and_starts_nothing(attack: Attack) -> None:
    for path, allowed in ALLOWED.items():
        if "GET" in allowed:
            attack.answered(f"HEAD {path}", request("HEAD", path), 200, 400, 403, 404)
            # A body that should not be there would be read as the next answer.
            attack.answered(f"behind HEAD {path}", request("GET", "/health"), 200)
    reply = attack.answered("HEAD of a task", request("HEAD", f"/tasks/{attack.done}"), 200)
    assert b"etag" in reply.headers
