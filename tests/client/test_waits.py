"""Waiting for tasks and following them, at a real server that lives on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quart_app.client import Progress, Task, Unavailable
from tests.acceptance.harness import Server, until
from tests.client import kinds
from tests.client.conftest import UNKNOWN


def test_a_wait_tells_of_progress(client: Any, flag: Path) -> None:
    seen: list[Task[Any]] = []

    def look(task: Task[Any]) -> None:
        seen.append(task)
        if task.progress is not None and task.progress.done == 3:
            flag.touch()

    task = client.wait(client.create("counts", {"to": 8, "flag": str(flag)}), progress=look)
    assert task.result == 8
    assert task.progress == Progress(done=8, total=8, percent=100.0, message="number 8")
    told = [one.progress["done"] for one in seen if one.progress is not None]
    assert told == sorted(told)
    assert repr(task) == f"<Task {task.task_id} counts completed>"
    assert any(repr(one).endswith("37.5 %, number 3>") for one in seen)
    assert seen[-1] == task


def test_what_progress_raises_ends_the_wait_alone(client: Any, flag: Path) -> None:
    def stumble(task: Task[Any]) -> None:
        raise StopIteration("of the caller")

    task = client.create("counts", {"to": 2, "flag": str(flag)})
    with pytest.raises((StopIteration, RuntimeError), match=r"of the caller|StopIteration"):
        client.wait(task, progress=stumble)
    flag.touch()
    assert client.wait(task).result == 2


@pytest.mark.parametrize("timeout", [0, 0.05, 0.4])
def test_a_wait_has_a_timeout(client: Any, flag: Path, timeout: float) -> None:
    task = client.create("counts", {"to": 2, "flag": str(flag)})
    with pytest.raises(TimeoutError, match=f"{task.task_id} has not ended after {timeout:g} s"):
        client.wait(task, timeout=timeout)
    with pytest.raises(TimeoutError, match="some of 1 tasks have not ended"):
        client.wait_many([task], timeout=timeout)
    flag.touch()
    assert client.wait(task, timeout=30).result == 2
    assert client.wait(task, timeout=0).result == 2
    assert client.wait_many([task], timeout=30) == [client.get(task)]


def test_many_are_waited_for_in_their_order(client: Any, flag: Path) -> None:
    made = client.create_many([{"kind": "quick", "args": {"x": n}} for n in range(30)])
    late = client.create("counts", {"to": 4, "flag": str(flag)})
    client.signal(waits := client.create("waits"), "go", "word")
    flag.touch()
    found = client.wait_many([late, *made, waits.task_id, late], timeout=30)
    assert [task.result for task in found] == [4, *range(30), ["word"], 4]
    assert client.wait_many([]) == []


def test_many_tasks_of_one_kind_are_waited_for(client: Any, flag: Path) -> None:
    made = client.create_many([{"kind": kinds.counts, "args": {"to": 4, "flag": str(flag)}} for _ in range(20)])
    until(lambda: any(task.status == "processing" for task in client.list(kind="counts")), "a start")
    flag.touch()
    assert [task.result for task in client.wait_many(made)] == [4] * 20


# --- events


def test_events_are_those_of_the_history(client: Any, service: Server, flag: Path) -> None:
    flag.touch()
    task = client.create("counts", {"to": 6, "flag": str(flag)})
    found = list(client.events(task))
    history = service.client.get(f"/tasks/{task.task_id}/history").json()["events"]
    assert [{"event": event.event, **event.data} for event in found] == history
    assert [event.id for event in found] == [event["seq"] for event in history]
    assert {"status", "progress", "log"} <= {event.event for event in found}
    assert [event.data["status"] for event in (found[0], found[-1])] == ["pending", "completed"]
    assert [event.id for event in client.events(task.task_id, after=found[2].id)] == [one.id for one in found[3:]]
    assert list(client.events(task, after=found[-1].id)) == []


def test_who_stops_following_keeps_no_connection(client: Any, service: Server, flag: Path) -> None:
    task = client.create("counts", {"to": 4, "flag": str(flag)})
    events = client.events(task)
    assert next(events).data["status"] == "pending"
    events.close()
    until(lambda: "\nquart_app_streams 0.0\n" in service.client.get("/metrics").text, "the end of the stream")
    flag.touch()


def test_nobody_answers(make_client: Any, service: Server) -> None:
    closed = make_client("http://127.0.0.1:9", unavailable_after=0.2)
    with pytest.raises(Unavailable, match=r"http://127.0.0.1:9 was not available for 0.2 s") as gone:
        closed.create("quick")
    assert gone.value.problem == {}
    with pytest.raises(TimeoutError):
        make_client("http://127.0.0.1:9").wait(UNKNOWN, timeout=0.2)
