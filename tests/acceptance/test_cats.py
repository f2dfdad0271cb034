"""The outbound limit against an upstream that keeps the same one for itself, in any window, over lives and callers."""

from __future__ import annotations

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import until
from tests.upstream import Upstream

pytestmark = pytest.mark.once


WINDOW = 1.0


def test_250_facts_at_100_a_window_provoke_no_429_with_a_kill_in_the_middle(make_server: MakeServer) -> None:
    with Upstream(max_calls=100, window=WINDOW) as upstream:
        server = make_server(cat_facts_url=upstream.url, cat_facts_limit=100, cat_facts_window=WINDOW)
        server.start().wait_ready()
        task_id = server.client.get("/cat_async_limited/250", headers={"Prefer": "respond-async"}).json()["task_id"]
        until(lambda: len(upstream.given) >= 130, "the second window")
        server.kill9()
        recorded = server.rows("SELECT json_extract(output, '$') FROM steps")

        server.start().wait_ready()
        done = server.ended(task_id)
        assert (done["status"], len(done["result"]), len(set(done["result"]))) == ("completed", 250, 250)
        assert {fact for (fact,) in recorded} <= set(done["result"])
        assert upstream.refused == []
        # What had been answered and not yet recorded at the kill was asked for once more, and nothing else.
        assert 250 <= upstream.asked <= 250 + 20
        assert 250 <= len(upstream.given) <= upstream.asked


def test_several_callers_and_several_lives_share_one_limit(make_server: MakeServer) -> None:
    with Upstream(max_calls=20, window=0.5) as upstream:
        server = make_server(cat_facts_url=upstream.url, cat_facts_limit=20, cat_facts_window=0.5)
        server.start().wait_ready()
        asynchronously = {"Prefer": "respond-async"}
        tasks = [
            server.client.get(f"/cat_async_limited/{n}", headers=asynchronously).json()["task_id"] for n in (30, 5, 25)
        ]
        for enough in (10, 30):
            until(lambda enough=enough: len(upstream.given) >= enough, f"{enough} facts")
            server.kill9()
            server.start().wait_ready()
        assert [len(server.ended(task_id)["result"]) for task_id in tasks] == [30, 5, 25]
        assert upstream.refused == []
