"""The service does what it was asked, and the answer is lost on the way: asked again, it does it no second time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quart_app.client import NotFound, Unavailable
from tests.acceptance.harness import Server, until
from tests.client.conftest import MakeClient
from tests.client.relay import Relay


@pytest.fixture
def relay(service: Server) -> Iterator[Relay]:
    made = Relay(service.port)
    yield made
    made.close()


@pytest.fixture
def client(make_client: MakeClient, relay: Relay) -> Any:
    return make_client(relay.url)


@pytest.mark.parametrize("times", [1, 3])
def test_one_task_is_made(client: Any, relay: Relay, times: int) -> None:
    tag = f"lost-{times}-{client!r}"
    relay.loses("POST /tasks/quick", times)
    task = client.create("quick", {"x": 1}, tags=[tag])
    assert len(relay.lost) == times
    assert [one.task_id for one in client.list(tag=tag)] == [task.task_id]
    assert client.wait(task).result == 1


def test_one_batch_is_made(client: Any, relay: Relay) -> None:
    tag = f"batch-{client!r}"
    relay.loses("POST /tasks$")
    made = client.create_many([{"kind": "quick", "args": {"x": n}, "tags": [tag]} for n in range(5)])
    assert relay.lost == ["POST /tasks"]
    assert [task.args for task in made] == [{"x": n} for n in range(5)]
    assert {one.task_id for one in client.list(tag=tag)} == {task.task_id for task in made}


def test_a_task_is_retried_once(client: Any, relay: Relay, tmp_path: Path) -> None:
    steps = tmp_path / "steps"
    task = client.wait(client.create("fails", {"path": str(steps)}))
    relay.loses("POST /tasks/.*/retry")
    client.retry(task, restart=True)
    client.wait(task)
    assert len(relay.lost) == 1
    assert steps.read_text().split() == ["first", "second"] * 2


def test_a_cancelled_task_was_cancelled_by_this_call(client: Any, relay: Relay) -> None:
    task = client.create("quick", delay=60)
    relay.loses("POST /tasks/.*/cancel", 2)
    assert client.cancel(task).status == "cancelled"
    assert len(relay.lost) == 2


def test_a_signal_arrives_once(client: Any, relay: Relay) -> None:
    task = client.create("waits", {"times": 2})
    relay.loses("POST /tasks/.*/signals/go")
    client.signal(task, "go", "first")
    client.signal(task, "go", "second")
    assert client.wait(task).result == ["first", "second"]
    assert len(relay.lost) == 1


def test_one_bulk_task_is_made(client: Any, relay: Relay) -> None:
    relay.loses("POST /bulk")
    asked = client.bulk("cancel", {"tag": f"nobody-{client!r}"})
    assert len(relay.lost) == 1
    bulk = [one for one in client.list(kind="bulk") if one.created_at >= asked.created_at]
    assert [one.task_id for one in bulk] == [asked.task_id]


def test_a_change_is_made(client: Any, relay: Relay) -> None:
    task = client.create("quick", {"x": 1}, delay=60)
    relay.loses("PATCH")
    assert client.update(task, args={"x": 2}).args == {"x": 2}
    assert len(relay.lost) == 1


def test_a_fork_is_not_made_twice_but_that_it_may_be_there_is_said(client: Any, relay: Relay) -> None:
    task = client.create("quick", delay=60)
    relay.loses("POST /tasks/.*/fork")
    with pytest.raises(Unavailable, match="whether the service has done it is not known"):
        client.fork(task)
    assert len([one for one in client.list(kind="quick") if one.forked_from == task.task_id]) == 1
    assert client.fork(task).forked_from == task.task_id


def test_what_is_only_read_is_read_again(client: Any, relay: Relay) -> None:
    task = client.create("quick", delay=60)
    relay.loses("GET /tasks/", 3)
    assert client.get(task) == task
    assert client.explain(task).reason == "scheduled"
    relay.loses("GET /tasks", 2)
    assert task.task_id in [one.task_id for one in client.list(kind="quick")]
    with pytest.raises(NotFound):
        client.get("no-such-task")


def test_a_stream_that_breaks_again_and_again_loses_nothing(client: Any, relay: Relay, flag: Path) -> None:
    """It is cut at each of its first pieces, before anything of them arrives."""
    task = client.create("counts", {"to": 10, "flag": str(flag)})
    found = []
    for event in client.events(task):
        found.append(event)
        if len(found) in (1, 4):
            relay.loses("GET /tasks/.*/events", 2)
        flag.touch()
    until(lambda: len(relay.lost) >= 2, "the cuts")
    assert [event.id for event in found] == [event.id for event in client.events(task)]


def test_waits_go_on_over_lost_answers(client: Any, relay: Relay, flag: Path) -> None:
    made = client.create_many([{"kind": "counts", "args": {"to": 4, "flag": str(flag)}} for _ in range(3)])
    relay.loses("GET /(events|tasks/)", 6)
    flag.touch()
    assert [task.result for task in client.wait_many(made, timeout=30)] == [4] * 3
    assert len(relay.lost) == 6
    relay.loses("GET /tasks/", 3)
    assert client.wait(made[0], timeout=30).result == 4
