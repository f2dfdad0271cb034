"""Well-formed JSON and query strings that mean nothing here (I09, I10, S17)."""

from __future__ import annotations

import json
from urllib.parse import quote

from tests.hostile.attack import Attack
from tests.hostile.corpus import entries
from tests.hostile.wire import post_json, request


def test_every_bad_option_of_an_entry_is_refused(attack: Attack) -> None:
    for option, values in entries.OPTIONS.items():
        for value in values:
            entry = {"kind": "echo", option: value}
            for body in (entry, [entry], [{"kind": "echo"}, entry]):
                attack.refused(f"{option}={value!r}", post_json("/tasks", json.dumps(body).encode()), 400, 422)


def test_entries_that_are_no_objects_are_refused(attack: Attack) -> None:
    for entry in (None, True, 0, 1.5, "echo", "", [], [[]], ["echo", {}]):
        for body in ([entry], [{"kind": "echo"}, entry]):
            attack.refused(f"{entry!r}", post_json("/tasks", json.dumps(body).encode()), 422)
    for name, text in {
        "no entry": b"[]",
        "null": b"null",
        "text": b'"echo"',
        "number": b"5",
        "1001": b"[" + b'{"kind":"echo"},' * 1000 + b'{"kind":"echo"}]',
    }.items():
        attack.refused(name, post_json("/tasks", text), 422)


def test_only_registered_kinds_exist(attack: Attack) -> None:
    for kind in entries.KINDS:
        attack.refused(kind, post_json(f"/tasks/{quote(kind, safe='')}", b"{}"), 404)
        attack.refused(f"in an entry: {kind}", post_json("/tasks", json.dumps([{"kind": kind}]).encode()), 422)


def test_a_query_that_no_route_takes_is_refused_by_every_route(attack: Attack) -> None:
    task = f"/tasks/{attack.done}"
    for query in entries.QUERIES:
        for target in ("/tasks", task, f"{task}/history", "/status", f"/status/{attack.done}", "/start/1/2"):
            attack.refused(f"GET {target}?{query}", request("GET", f"{target}?{query}"), 400)
        for target in ("/tasks/echo", "/tasks", f"{task}/cancel", f"{task}/retry"):
            attack.refused(f"POST {target}?{query}", post_json(f"{target}?{query}", b"{}"), 400)
        attack.refused(f"DELETE {task}?{query}", request("DELETE", f"{task}?{query}"), 400)


def test_every_bad_value_of_a_parameter_is_refused(attack: Attack) -> None:
    for parameter, texts in entries.PARAMETERS.items():
        method, target = parameter.replace("{done}", attack.done).split(" ")
        for text in texts:
            body = b"{}" if method == "POST" else None
            headers = [(b"Content-Type", b"application/json")] if body else []
            attack.refused(f"{parameter}{text}", request(method, target + text, body, headers), 400)
