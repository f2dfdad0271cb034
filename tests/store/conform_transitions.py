"""The table of core/lifecycle.py and what the verbs do are equal: every verb is tried from every status."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from quart_app.core.lifecycle import TRANSITIONS
from quart_app.core.task import STATUSES, Claimed
from quart_app.store.protocols.tasks import Store
from tests.store.conform_running import LATER, WRITES
from tests.store.kit import Sql, T, in_status
from tests.store.soundness import allowed

Verb = Callable[[Store, Claimed], Awaitable[object]]


def _of_a_run(name: str) -> Verb:
    return lambda store, task: WRITES[name](store, task.id, task.fence)


VERBS: dict[str, Verb] = {
    **{name: _of_a_run(name) for name in WRITES},
    "claim": lambda store, task: store.claim({"default": 9}, LATER),
    "claim_suspect": lambda store, task: store.claim_suspects(2, 99, 1, LATER),
    "cancel": lambda store, task: store.cancel(task.id, LATER),
    "rerun": lambda store, task: store.rerun(task.id, False, LATER),
    "rerun, restarting": lambda store, task: store.rerun(task.id, True, LATER),
    "delete": lambda store, task: store.delete(task.id),
    "make_ready": lambda store, task: store.make_ready(LATER, 9),
    "resume_waiting": lambda store, task: store.resume_waiting(["thumbnail"], LATER, 9),
    "expire": lambda store, task: store.expire(T + 10**9, 9),
    "prune": lambda store, task: store.prune(LATER, T + 10**9, 9),
}


class Transitions:
    async def test_the_verbs_make_the_transitions_of_the_table_and_no_other(self, store: Store, sql: Sql) -> None:
        seen: set[tuple[str, str, str]] = set()
        for verb in VERBS.values():
            for status in STATUSES:
                task = await in_status(store, status, expires_at=T + 10**6)
                last = sql("SELECT max(seq) FROM events")[0][0]
                await verb(store, task)
                for after, cause in sql(
                    "SELECT e.status, e.cause FROM events e JOIN tasks t ON t.seq = e.task"
                    " WHERE e.seq > ? AND e.name = 'status' AND t.id = ?",
                    last,
                    task.id,
                ):
                    seen.add((status, cause, after))
                await clear(store, sql)
        assert seen == allowed()

    async def test_a_new_task_starts_as_the_table_says(self, store: Store, sql: Sql) -> None:
        await in_status(store, "pending")
        assert sql("SELECT cause, status FROM events") == [("enqueue", TRANSITIONS["enqueue"][1])]


async def clear(store: Store, sql: Sql) -> None:
    """End and delete whatever is left."""
    for task_id, status, fence in sql("SELECT id, status, fence FROM tasks"):
        if status == "processing":
            await store.complete(task_id, fence, "1", LATER)
        await store.cancel(task_id, LATER)
        await store.delete(task_id)
    assert sql("SELECT count(*) FROM tasks") == [(0,)]
