"""Document 002, cat facts: its three addresses, before and after a kill -9. (test_cats.py has its 250 facts.)"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.documents import answer, curl
from tests.acceptance.harness import until
from tests.upstream import Upstream

pytestmark = pytest.mark.once

CATS = "http://127.0.0.1:5000"
LIMIT = 6


def test_the_three_ways_to_ask_meet_a_limit_as_documented_over_a_kill(make_server: MakeServer) -> None:
    with Upstream(max_calls=LIMIT, window=3600) as upstream:
        server = make_server(cat_facts_url=upstream.url, cat_facts_limit=LIMIT, cat_facts_window=1.0)
        server.start().wait_ready()
        facts = curl(server, f"{CATS}/cat/3")
        assert len(set(facts)) == 3
        assert all(isinstance(fact, str) for fact in facts)
        assert len(curl(server, f"{CATS}/cat_async/9")) == LIMIT - 3, "what the limit refuses is left out"
        until(lambda: server.log.count("cat fact from") == upstream.asked, "a line for each call")
        server.kill9()

        server.start().wait_ready()
        beyond = answer(server, f"{CATS}/cat/1")
        assert (beyond.status, beyond.media) == (502, "application/problem+json")
        assert "429" in beyond.json["detail"]
        assert curl(server, f"{CATS}/cat_async/2") == []
        assert server.sigterm() == 0
        logged = [json.loads(line) for line in server.log.splitlines()]
        calls = [line for line in logged if line["event"].startswith("cat fact from ")]
        assert sorted(call["status"] for call in calls) == [200] * LIMIT + [429] * (upstream.asked - LIMIT)
        assert all(call["seconds"] > 0 and call["task_id"] for call in calls)


@pytest.mark.parametrize("callers", [1, 2])
def test_the_limited_way_gives_all_and_never_meets_the_limit_over_a_kill(make_server: MakeServer, callers: int) -> None:
    with Upstream(max_calls=LIMIT, window=1.0) as upstream:
        server = make_server(cat_facts_url=upstream.url, cat_facts_limit=LIMIT, cat_facts_window=1.0)
        for n in (4, 5):
            server.start().wait_ready()
            with ThreadPoolExecutor() as pool:
                answers = list(pool.map(lambda n: curl(server, f"{CATS}/cat_async_limited/{n}"), [n] * callers))
            assert [len(set(facts)) for facts in answers] == [n] * callers
            server.kill9()
        assert upstream.refused == []
