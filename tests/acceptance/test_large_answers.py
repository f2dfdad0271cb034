"""Answers over many large documents end early and say where to go on."""

from __future__ import annotations

import pytest

from tests.acceptance.harness import Server

pytestmark = pytest.mark.once


MIB = 2**20


def test_a_page_of_large_tasks_ends_early_and_the_next_one_goes_on(server: Server) -> None:
    server.start().wait_ready()
    ids = [server.post("quick", {"x": "x" * 250_000}, delay="3600") for _ in range(40)]
    found: list[str] = []
    url: str | None = "/tasks?fields=args,result&limit=30"
    while url is not None:
        answer = server.client.get(url)
        assert len(answer.content) < 4.5 * MIB
        page = answer.json()
        found += [one["task_id"] for one in page["tasks"]]
        assert all(len(one["args"]["x"]) == 250_000 for one in page["tasks"])
        url = page["next"]
    assert found == ids[::-1]


def test_bytes_are_counted_not_characters(server: Server) -> None:
    server.start().wait_ready()
    for _ in range(25):
        server.post("quick", {"x": "\N{GRINNING FACE}" * 60_000}, delay="3600")
    answer = server.client.get("/tasks?fields=args&limit=200")
    assert len(answer.content) < 4.5 * MIB
    assert answer.json()["next"] is not None


def test_a_long_history_is_cut_and_says_so(server: Server) -> None:
    server.start().wait_ready()
    short, long = server.post("chatter", {"lines": 10}), server.post("chatter", {"lines": 500})
    for task_id in (short, long):
        assert server.ended(task_id)["status"] == "completed"
    whole = server.client.get(f"/tasks/{short}/history").json()
    assert (len(whole["logs"]), whole["truncated"]) == (10, False)
    answer = server.client.get(f"/tasks/{long}/history")
    cut = answer.json()
    assert len(answer.content) < 9 * MIB
    assert cut["truncated"] is True
    assert 200 < len(cut["logs"]) < 500
    assert cut["attempts"][0]["outcome"] is None, "its end is not among the oldest events"
    rest = server.client.get(f"/tasks/{long}/events", params={"after": cut["events"][-1]["seq"]}).text
    assert rest.count("\nevent: log") == 500 - len(cut["logs"])
    assert '"cause":"complete"' in rest
