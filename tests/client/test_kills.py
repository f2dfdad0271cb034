"""The server is killed, or stopped, in the middle of what the client does; the client goes on by itself."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from quart_app.client import Client, Event, Task, Unavailable
from tests.acceptance.harness import Server, lines_of, until
from tests.client.conftest import TASKS, MakeClient


@pytest.fixture
def server(make_server: Any) -> Server:
    server: Server = make_server(tasks=TASKS).start().wait_ready()
    return server


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as made:
        yield made


def again(server: Server) -> None:
    server.kill9()
    server.start().wait_ready()


def test_a_wait_goes_on(
    server: Server, make_client: MakeClient, pool: ThreadPoolExecutor, journal: Path, flag: Path
) -> None:
    client = make_client(server.url)
    task = client.create("gated", {"path": str(journal), "flag": str(flag)})
    waiting = pool.submit(client.wait, task)
    history = f"/tasks/{task.task_id}/history"
    until(lambda: len(server.client.get(history).json()["steps"]) == 3, "the third step on record")
    again(server)
    again(server)
    assert not waiting.done()
    flag.touch()
    done = waiting.result(30)
    assert (done.status, done.result) == ("completed", [1, 4, 9, 16, 25, 36])
    assert len(lines_of(journal)) == 6  # what was recorded was not done again


def test_a_wait_that_tells_of_progress_goes_on(
    server: Server, make_client: MakeClient, pool: ThreadPoolExecutor, flag: Path
) -> None:
    client, seen = make_client(server.url), list[Task[Any]]()
    waiting = pool.submit(client.wait, client.create("counts", {"to": 40, "flag": str(flag)}), None, seen.append)
    until(lambda: any(task.progress for task in seen), "progress")
    again(server)
    flag.touch()
    assert waiting.result(30).result == 40
    assert seen[-1].ended


def test_a_stop_is_no_end_of_a_wait(
    server: Server, make_client: MakeClient, pool: ThreadPoolExecutor, journal: Path, flag: Path
) -> None:
    client = make_client(server.url)
    ids = [client.create("sleeper", {"path": str(journal), "flag": str(flag)}).task_id for _ in range(2)]
    waiting = [pool.submit(client.wait, ids[0]), pool.submit(make_client(server.url).wait_many, ids)]
    until(lambda: len(lines_of(journal)) == 2, "their start")
    assert server.sigterm() == 0
    server.start().wait_ready()
    flag.touch()
    assert waiting[0].result(30).result == 1
    assert [task.result for task in waiting[1].result(30)] == [1, 1]


def test_a_wait_for_many_goes_on(
    server: Server, make_client: MakeClient, pool: ThreadPoolExecutor, journal: Path, flag: Path
) -> None:
    client = make_client(server.url)
    soon = client.create_many([{"kind": "steps", "args": {"path": str(journal), "pause": 0.05}}] * 20)
    late = client.create("sleeper", {"path": str(journal), "flag": str(flag)})
    waiting = pool.submit(client.wait_many, [*soon, late])
    until(lambda: len(lines_of(journal)) > 20, "some steps")
    again(server)
    until(lambda: server.client.get("/tasks?kind=steps&status=completed").json()["tasks"], "an end")
    again(server)
    assert not waiting.done()
    flag.touch()
    assert [task.result for task in waiting.result(60)] == [[1, 4, 9, 16, 25]] * 20 + [waiting.result()[-1].result]


def test_a_timeout_holds_while_the_server_is_away(
    server: Server, make_client: MakeClient, journal: Path, flag: Path
) -> None:
    client = make_client(server.url)
    task = client.create("sleeper", {"path": str(journal), "flag": str(flag)})
    server.kill9()
    with pytest.raises(TimeoutError):
        client.wait(task, timeout=0.3)
    with pytest.raises(TimeoutError):
        client.wait_many([task], timeout=0.3)


def test_a_server_that_hangs_counts_as_away(server: Server, make_client: MakeClient, journal: Path, flag: Path) -> None:
    client = make_client(server.url, unavailable_after=0)
    task = client.create("sleeper", {"path": str(journal), "flag": str(flag)})
    server.signal(signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError):
            client.wait(task, timeout=0.2)
    finally:
        server.signal(signal.SIGCONT)
    assert client.get(task).status == "processing"


def test_it_gives_up_after_the_time_it_was_given(server: Server, make_client: MakeClient) -> None:
    client = make_client(server.url, unavailable_after=0.3)
    task = client.create("quick", delay=60)
    server.kill9()
    calls = (client.get, client.wait, client.cancel, client.retry, client.fork, client.explain)
    for call in (*calls, lambda one: client.wait_many([one]), lambda one: list(client.events(one))):
        with pytest.raises(Unavailable, match=r"was not available for 0\.3 s"):
            call(task)


@pytest.mark.parametrize("kills", [1, 3])
def test_each_event_comes_once(
    server: Server, make_client: MakeClient, pool: ThreadPoolExecutor, flag: Path, kills: int
) -> None:
    client = make_client(server.url)
    task = client.create("counts", {"to": 60, "flag": str(flag)})
    found: list[Event] = []

    def follow() -> None:
        for event in client.events(task):
            found.append(event)

    following = pool.submit(follow)
    for kill in range(kills):
        until(lambda kill=kill: sum(one.data["cause"] == "claim" for one in found) > kill, "events of this life")  # type: ignore[misc]
        again(server)
    flag.touch()
    following.result(60)
    history = server.client.get(f"/tasks/{task.task_id}/history").json()["events"]
    assert [event.id for event in found] == [event["seq"] for event in history]
    assert Counter(event.data["cause"] for event in found)["crash"] >= 1
    assert found[-1].data["status"] == "completed"


def test_one_call_makes_one_task_however_often_the_server_dies(server: Server, pool: ThreadPoolExecutor) -> None:
    """Each thread makes numbered tasks, one by one and in batches, while the server is killed and started."""
    over = threading.Event()
    made: dict[int, str] = {}

    def load(first: int) -> None:
        number = first
        with Client(server.url) as client:
            while not over.is_set():
                made[number] = client.create("quick", {"x": number}).task_id
                batch = client.create_many([{"kind": "quick", "args": {"x": number + n}} for n in range(1, 4)])
                made.update({number + n: task.task_id for n, task in enumerate(batch, 1)})
                number += 4

    loads = [pool.submit(load, 1_000_000 * thread) for thread in range(4)]
    try:
        for _ in range(4):
            before = len(made)
            until(lambda before=before: len(made) > before + 40, "some tasks")  # type: ignore[misc]
            server.kill9()
            server.start().wait_ready()
    finally:
        over.set()
    for one in loads:
        one.result(60)
    with Client(server.url) as client:
        there = [(task["args"]["x"], task.task_id) for task in client.list(kind="quick", fields="args", limit=200)]
    assert len(there) == len(made), "some were made twice, or are gone"
    assert dict(there) == made
