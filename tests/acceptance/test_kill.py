"""kill -9: what was accepted goes on at the next start, from the step it had reached."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import Server, alive, lines_of, until


def test_a_task_killed_in_the_middle_finishes_from_the_step_it_had_reached(server: Server, journal: Path) -> None:
    server.start().wait_ready()
    task_id = server.post("steps", {"path": str(journal), "count": 5, "pause": 0.3})
    until(partial(_has_recorded, server, 2), "two recorded steps")
    server.kill9()
    recorded = {name for (name,) in server.rows("SELECT name FROM steps")}
    assert {"s1", "s2"} <= recorded < {"s1", "s2", "s3", "s4", "s5"}
    before = len(lines_of(journal))

    server.start().wait_ready()
    done = server.ended(task_id)
    assert (done["status"], done["result"]) == ("completed", [1, 4, 9, 16, 25])
    assert (done["attempt"], done["crashes"], done["error"]) == (1, 0, None)
    again = {f"s{number}" for _, _, number in lines_of(journal)[before:]}
    assert again == {"s1", "s2", "s3", "s4", "s5"} - recorded
    causes = [event["cause"] for event in _status_events(server, task_id)]
    assert causes == ["enqueue", "claim", "crash", "claim", "complete"]


def test_every_step_may_be_the_last_of_its_process(server: Server, journal: Path) -> None:
    """One kill after each step: each is run once, but for the one in flight at the kill."""
    task_id = ""
    for step in range(1, 6):
        server.start().wait_ready()
        task_id = task_id or server.post("steps", {"path": str(journal), "count": 6, "pause": 0.05})
        until(partial(_has_recorded, server, step), f"step {step}")
        server.kill9()
    server.start().wait_ready()
    done = server.ended(task_id)
    assert (done["status"], done["attempt"], done["crashes"]) == ("completed", 1, 0)
    numbers = [int(number) for _, _, number in lines_of(journal)]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(1, 7))
    assert len(numbers) <= 6 + 5


def test_pending_and_delayed_tasks_and_keys_outlive_a_kill(make_server: MakeServer, journal: Path, flag: Path) -> None:
    server = make_server(concurrency=1)
    server.start().wait_ready()
    holder = server.post("sleeper", {"path": str(journal), "flag": str(flag)})
    until(lambda: lines_of(journal), "the task that holds the slot")
    pending = [server.post("quick", {"x": number}) for number in range(20)]
    soon = server.post("quick", {"x": "soon"}, delay=3)
    later = server.post("quick", {"x": "later"}, delay=3600)
    keyed = server.client.post("/tasks/quick", json={"x": "keyed"}, headers={"Idempotency-Key": "k"})
    assert keyed.status_code == 202
    waiting_until = server.task(later)["run_at"]
    server.kill9()

    flag.touch()
    server.start().wait_ready()
    assert server.ended(holder)["attempt"] == 1
    for number, task_id in enumerate(pending):
        done = server.ended(task_id)
        assert (done["status"], done["result"], done["attempt"], done["crashes"]) == ("completed", number, 1, 0)
    done = server.ended(soon)
    assert (done["status"], done["result"]) == ("completed", "soon")
    assert done["started_at"] >= done["run_at"]
    still = server.task(later)
    assert (still["status"], still["run_at"], still["attempt"]) == ("pending", waiting_until, 0)

    replay = server.client.post("/tasks/quick", json={"x": "keyed"}, headers={"Idempotency-Key": "k"})
    assert replay.status_code == 202
    assert replay.json()["task_id"] == keyed.json()["task_id"]
    assert replay.headers["Idempotency-Replayed"] == "true"
    other = server.client.post("/tasks/quick", json={"x": "other"}, headers={"Idempotency-Key": "k"})
    assert other.status_code == 422


def test_a_cancel_asked_of_a_stubborn_task_outlives_a_kill(server: Server, journal: Path, flag: Path) -> None:
    server.start().wait_ready()
    task_id = server.post("stubborn", {"path": str(journal), "flag": str(flag)})
    until(lambda: lines_of(journal), "the stubborn task")
    assert server.client.post(f"/tasks/{task_id}/cancel").status_code == 202
    assert server.task(task_id)["status"] == "processing"
    server.kill9()

    server.start().wait_ready()
    ended = server.ended(task_id)
    assert (ended["status"], ended["error"]) == ("cancelled", None)
    assert lines_of(journal) == [["stubborn", "1"]]


def test_a_child_process_dies_with_its_server(server: Server, journal: Path, flag: Path) -> None:
    server.start().wait_ready()
    task_id = server.post("child", {"path": str(journal), "flag": str(flag)})
    ((_, _, pid),) = until(lambda: lines_of(journal), "the child")
    output = journal.with_name("journal.child")
    until(lambda: len(lines_of(output)) > 3, "the child's output")
    server.kill9()
    until(lambda: not alive(int(pid)), "the death of the child", deadline=5)
    size = output.stat().st_size

    server.start().wait_ready()
    assert output.stat().st_size >= size
    until(lambda: len(lines_of(journal)) == 2, "a second child")
    _, attempt, other = lines_of(journal)[1]
    assert (attempt, other != pid) == ("1", True)
    flag.touch()
    done = server.ended(task_id)
    assert (done["status"], done["attempt"], done["crashes"]) == ("completed", 1, 0)


def _has_recorded(server: Server, steps: int) -> bool:
    return bool(server.rows("SELECT count(*) >= ? FROM steps", steps)[0][0])


def _status_events(server: Server, task_id: str) -> list[dict[str, str]]:
    history = server.client.get(f"/tasks/{task_id}/history").json()
    return [event for event in history["events"] if event["event"] == "status"]
