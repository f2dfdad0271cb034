"""What each method asks a real server for, and what it makes of the answer."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from quart_app.client import NotFound, Refused, Task, TaskError, TaskFailed, TaskServiceError
from tests.acceptance.harness import Server, until
from tests.client import kinds
from tests.client.conftest import UNKNOWN

HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def name() -> str:
    """A tag or a key that no other test has."""
    return uuid.uuid4().hex


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


# --- making


def test_a_new_task_has_all_its_fields(client: Any, service: Server) -> None:
    task = client.create("quick", {"x": {"a": [1, None, "ü"]}}, delay=HOUR, priority=7, queue="q", tags=["b", "a"])
    shown = service.task(task.task_id)
    assert task.args == {"x": {"a": [1, None, "ü"]}}
    assert (task.status, task.ended, task.priority, task.queue, task.tags) == ("pending", False, 7, "q", ("b", "a"))
    assert task.run_at - task.created_at == HOUR
    assert abs(now() - task.created_at) < HOUR
    assert set(shown) == set(Task.__struct_fields__)
    for name in ("task_id", "kind", "version", "attempt", "max_attempts", "crashes", "status_url", "events_url"):
        assert getattr(task, name) == task[name] == shown[name], name


@pytest.mark.parametrize(
    "options",
    [
        {"run_at": now() + HOUR},
        {"run_at": (now() + HOUR).isoformat()},
        {"delay": 3600},
        {"delay": 3600.0000001},
        {"delay": 3600, "tag": "one"},
        {"delay": 3600, "expires": None, "max_attempts": 3, "timeout": 0.5},
    ],
)
def test_every_way_to_say_an_option_arrives(client: Any, options: dict[str, Any]) -> None:
    task = client.create("quick", **options)
    assert abs(task.run_at - now() - HOUR) < HOUR / 2
    assert task.tags == (("one",) if "tag" in options else ())
    assert task.max_attempts == options.get("max_attempts", 1)


def test_integers_are_whole_on_the_whole_way(client: Any) -> None:
    task = client.create("quick", {"x": [10**999, -(2**64), 2**53 + 1]})
    assert task.args == {"x": [10**999, -(2**64), 2**53 + 1]}
    assert client.wait(task).result == [10**999, -(2**64), 2**53 + 1]


def test_an_idempotency_key_of_the_caller_makes_one_task(client: Any, name: str) -> None:
    first, second = (client.create("quick", {"x": 1}, idempotency_key=name) for _ in range(2))
    assert first.task_id == second.task_id
    with pytest.raises(Refused) as refused:
        client.create("quick", {"x": 2}, idempotency_key=name)
    assert refused.value.problem["type"].endswith("idempotency-conflict")


def test_two_calls_make_two_tasks(client: Any) -> None:
    assert client.create("quick").task_id != client.create("quick").task_id


def test_a_duplicate_is_the_task_that_is_there(client: Any, name: str) -> None:
    first, second = (client.create("quick", {"x": n}, unique_key=name, delay=60) for n in (1, 2))
    assert (first.task_id, first.args) == (second.task_id, second.args)
    client.cancel(first)


def test_many_tasks_come_back_in_their_order(client: Any) -> None:
    asked = [{"kind": "quick", "args": {"x": n}, "tags": ["many"], "delay": HOUR} for n in range(20)]
    made = client.create_many([*asked, {"kind": kinds.price, "args": {"order": 1}}])
    assert [task.args for task in made] == [*({"x": n} for n in range(20)), {"order": 1}]
    assert made[0].tags == ("many",)
    assert client.create_many([]) == []


def test_many_tasks_may_have_been_made_before(client: Any, name: str) -> None:
    old = client.create("quick", {"x": 1}, idempotency_key=name)
    item = {"kind": "quick", "args": {"x": 1}, "idempotency_key": name}
    again, new = client.create_many([item, {"kind": "quick", "args": {"x": 2}}])
    assert (again.task_id, again.kind, again.args) == (old.task_id, "quick", {"x": 1})
    assert new.task_id != old.task_id


def test_none_of_many_is_made_when_one_is_refused(client: Any) -> None:
    with pytest.raises(Refused) as refused:
        client.create_many([{"kind": "quick", "tags": ["none"]}, {"kind": "add", "args": {"x": "one"}}])
    assert refused.value.problem["errors"][0]["pointer"].startswith("/1/args")
    assert list(client.list(tag="none")) == []


def test_a_kind_gives_its_result_its_type(client: Any) -> None:
    task = client.create(kinds.price, {"order": 17})
    assert client.wait(task).result_or_raise() == kinds.Price(Decimal("4.25"), "usd")
    assert client.get(client.wait(task)).result == kinds.Price(Decimal("4.25"), "usd")
    assert client.wait(task.task_id).result == {"amount": "4.25", "currency": "usd"}
    (listed,) = [one for one in client.list(kind=kinds.price, fields="result") if one.task_id == task.task_id]
    assert listed.result == kinds.Price(Decimal("4.25"), "usd")


# --- what is refused


def test_what_is_not_there_is_not_found(client: Any) -> None:
    for call in (client.get, client.wait, client.cancel, client.retry, client.fork, client.explain):
        for unknown in (UNKNOWN, "..", "", "a/b", "x?y"):
            with pytest.raises(NotFound) as missing:
                call(unknown)
            assert missing.value.problem["status"] == 404
    with pytest.raises(NotFound):
        list(client.events(UNKNOWN))
    with pytest.raises(NotFound):
        client.wait_many([UNKNOWN])
    for unknown in ("no-such-kind", "../keys", ""):
        with pytest.raises(NotFound, match="Unknown kind"):
            client.create(unknown)


def test_what_the_service_refuses_says_why(client: Any) -> None:
    with pytest.raises(Refused, match="422 Invalid arguments: /x") as refused:
        client.create("add", {"x": "one", "y": 2})
    assert refused.value.problem["errors"] == [{"pointer": "/x", "detail": "Expected `int`, got `str`"}]
    assert isinstance(refused.value, TaskServiceError)
    with pytest.raises(Refused, match="400") as refused:
        client.create("quick", no_such_option=1)
    assert "no_such_option" in refused.value.problem["detail"]


@pytest.mark.parametrize(
    "value",
    [{1, 2}, b"x", float("nan"), object(), 10**5000, "\ud800"],
    ids=["set", "bytes", "nan", "object", "digits", "surrogate"],
)
def test_what_is_not_json_is_an_error_before_anything_is_sent(client: Any, value: Any) -> None:
    with pytest.raises(TypeError, match="args cannot be sent as JSON"):
        client.create("quick", {"x": value})


def test_wrong_options_are_errors_before_anything_is_sent(client: Any) -> None:
    with pytest.raises(ValueError, match="run_at needs a time zone"):
        client.create("quick", run_at=datetime.datetime(2030, 1, 1))
    with pytest.raises(ValueError, match="idempotency key"):
        client.create("quick", idempotency_key="two words")
    with pytest.raises(TypeError, match="tags is a list"):
        client.create("quick", tags="abc")
    with pytest.raises(ValueError, match="signal's name"):
        client.signal(UNKNOWN, "../cancel")


def test_nul_is_refused_and_not_changed(client: Any) -> None:
    with pytest.raises(Refused, match="NUL"):
        client.create("quick", {"x": "a\0b"})


# --- ends


def test_a_failed_task_is_no_error_of_the_service(client: Any, tmp_path: Path) -> None:
    task = client.wait(client.create("fails", {"path": str(tmp_path / "steps")}))
    assert task.error == TaskError(type="ValueError", message="no luck", attempt=1, retryable=True)
    assert task.error["message"] == task["error"]["message"] == "no luck"
    with pytest.raises(TaskFailed, match=f"{task.task_id} .fails. failed: ValueError: no luck") as failed:
        task.result_or_raise()
    assert failed.value.task is task
    assert not isinstance(failed.value, TaskServiceError)


def test_a_cancelled_task_has_no_result(client: Any) -> None:
    task = client.cancel(client.create("quick", delay=60))
    assert task.status == "cancelled"
    with pytest.raises(TaskFailed, match="cancelled"):
        task.result_or_raise()
    with pytest.raises(Refused, match="409"):
        client.cancel(task)


def test_a_task_that_has_not_ended_has_no_result_yet(client: Any) -> None:
    with pytest.raises(RuntimeError, match="has not ended: it is pending"):
        client.create("quick", delay=60).result_or_raise()


def test_a_running_task_is_asked_to_end(client: Any, journal: Path, flag: Path) -> None:
    task = client.create("sleeper", {"path": str(journal), "flag": str(flag)})
    until(journal.exists, "its start")
    assert client.cancel(task).status in ("processing", "cancelled")
    assert client.wait(task, timeout=30).status == "cancelled"


# --- by hand


def test_a_retry_keeps_steps_or_forgets_them(client: Any, tmp_path: Path) -> None:
    steps = tmp_path / "steps"
    task = client.wait(client.create("fails", {"path": str(steps)}))
    assert client.retry(task).version > task.version
    client.wait(task)
    assert steps.read_text().split() == ["first", "second"]
    client.retry(task, "second")
    client.wait(task)
    assert steps.read_text().split() == ["first", "second", "second"]
    client.retry(task.task_id, restart=True)
    client.wait(task)
    assert steps.read_text().split() == ["first", "second", "second", "first", "second"]
    with pytest.raises(Refused, match="422"):
        client.retry(task, from_step="third")


def test_a_fork_begins_where_it_is_told(client: Any, tmp_path: Path) -> None:
    task = client.wait(client.create("fails", {"path": str(tmp_path / "one")}))
    fork = client.fork(task, from_step="second", args={"path": str(tmp_path / "other")})
    assert (fork.kind, fork.forked_from, fork.args) == ("fails", task.task_id, {"path": str(tmp_path / "other")})
    client.wait(fork)
    assert (tmp_path / "other").read_text().split() == ["second"]
    assert client.wait(client.fork(task)).error == task.error


def test_a_pending_task_can_be_changed(client: Any) -> None:
    task = client.create("quick", {"x": 1}, delay=60)
    changed = client.update(
        task, args={"x": 2}, priority=3, tags=("t",), run_at=now() + 2 * HOUR, if_version=task.version
    )
    assert (changed.args, changed.priority, changed.tags) == ({"x": 2}, 3, ("t",))
    assert changed.run_at > task.run_at
    with pytest.raises(Refused, match="412"):
        client.update(task, priority=4, if_version=task.version)
    client.cancel(task)
    with pytest.raises(Refused, match="409"):
        client.update(task, priority=4)


def test_signals_arrive_in_their_order(client: Any) -> None:
    task = client.create("waits", {"times": 3})
    client.signal(task, "go", {"n": 2**70})
    client.signal(task.task_id, "go")
    for _ in range(2):
        client.signal(task, "go", "third", idempotency_key="third")
    assert client.wait(task).result == [{"n": 2**70}, None, "third"]


def test_it_explains(client: Any) -> None:
    task = client.create("quick", delay=60)
    found = client.explain(task)
    assert (found.task_id, found.reason, found["reason"]) == (task.task_id, "scheduled", "scheduled")
    assert found.expected_start == task.run_at
    assert found.text


def test_bulk_counts_and_acts(client: Any, name: str) -> None:
    client.create_many([{"kind": "quick", "tags": [name], "delay": 60}] * 12)
    assert client.bulk("cancel", {"tag": name}, dry_run=True) == 12
    asked = client.bulk("cancel", {"tag": name, "created_after": now() - HOUR, "kind": None}, reason="a test")
    done = client.wait(asked).result_or_raise()
    assert (asked.kind, done["done"]) == ("bulk", 12)
    assert {task.status for task in client.list(tag=name)} == {"cancelled"}
    assert client.wait(client.bulk("delete", {"tag": name})).result["done"] == 12
    with pytest.raises(Refused, match="422"):
        client.bulk("cancel", {})


# --- lists


def test_a_list_has_all_pages(client: Any, name: str) -> None:
    made = client.create_many([{"kind": "quick", "tags": [name], "args": {"x": n}, "delay": 60} for n in range(23)])
    found = list(client.list(tag=name, limit=5))
    assert [task.task_id for task in found] == [task.task_id for task in reversed(made)]
    assert {(task.args, task.result) for task in found} == {(None, None)}
    whole = list(client.list(tag=name, fields="args", created_after=now() - HOUR, status="pending"))
    assert [task.args for task in reversed(whole)] == [{"x": n} for n in range(23)]
    client.wait(client.bulk("cancel", {"tag": name}))
    assert list(client.list(tag=name, status="pending")) == []


def test_filters_that_are_wrong_are_refused(client: Any) -> None:
    with pytest.raises(Refused, match="400"):
        list(client.list(status="gone"))
