"""What may happen, how often, and what must hold after each event.

One rule draws one of many events: hypothesis leaves out some rules of a machine in most of its histories, and a history
without claims, or without ends, has little to tell.
"""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from tests.clock import START
from tests.model.creating import Creating
from tests.model.model import ROWS
from tests.model.racing import Racing
from tests.model.troubling import Troubling
from tests.store.soundness import assert_sound


def sampled(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


pick = st.integers(0, 99)
seconds = sampled(0.1, 0.4, 1, 5, 40, 130)
options = st.fixed_dictionaries(
    {},
    optional={
        "queue": sampled("default", "other"),
        "kind": sampled("puppet", "ghost"),
        "delay": sampled(0, 500, 5_000),
        "priority": st.integers(-1, 1),
        "attempts": st.integers(1, 3),
        "expires": sampled(300, 4_000),
        "retention": sampled(2_000),
        "key": sampled("k1", "k2"),
        "fingerprint": sampled("f", "g"),
    },
)
# action of the machine -> (how often among the others, its arguments)
EVENTS: dict[str, tuple[int, tuple[st.SearchStrategy[Any], ...]]] = {
    "create_with": (4, (options,)),
    "claim_all": (4, (st.integers(1, 3),)),
    "step": (12, (pick, sampled("a", "b", "c"))),
    "progress_and_log": (2, (pick, st.integers(0, 5))),
    "complete": (3, (pick,)),
    "fail": (6, (pick, sampled("plain", "plain", "plain", "retry", "final", "not json"))),
    "race": (2, (pick, st.permutations(["complete", "fail", "release", "end_cancelled", "crash"]))),
    "cancel": (2, (pick, st.booleans())),
    "rerun": (4, (pick, st.booleans())),
    "delete": (1, (pick,)),
    "let_time_pass_and_poll": (6, (seconds,)),
    "let_time_pass_and_prune": (1, (seconds,)),
    "time_passes": (1, (seconds,)),
    "resume_waiting": (1, ()),
    "stop_gracefully": (1, ()),
    "crash_but_live_on": (2, ()),
    "kill_9": (1, ()),
    "recover": (2, ()),
    "die_and_go_on": (4, (st.booleans(), seconds)),
    "enqueue_within": (2, (pick,)),
    "drain_begins": (1, ()),
    "in_trouble": (2, (pick, sampled("step", "enqueue", "complete", "fail", "final"))),
    "end_refused": (
        2,
        (
            pick,
            sampled("complete", "fail", "final"),
            sampled(("retry",), ("fail",), ("complete",), ("retry", "fail"), ("complete", "fail")),
        ),
    ),
    "look_for_strays": (2, ()),
}
events = st.sampled_from([action for action, (often, _) in EVENTS.items() for _ in range(often)]).flatmap(
    lambda action: st.tuples(st.just(action), *EVENTS[action][1])
)
NEEDS_A_RUN = {"step", "progress_and_log", "complete", "fail", "race", "enqueue_within", "in_trouble", "end_refused"}
NEEDS_A_TASK = {"cancel", "rerun", "delete"}


class TaskMachine(Creating, Racing, Troubling):
    @initialize(tasks=st.lists(options, max_size=3))
    def begin(self, tasks: list[dict[str, Any]]) -> None:
        for one in tasks:
            self.create_with(one)
        self.claim_all(2)

    @rule(event=events)
    def happens(self, event: tuple[Any, ...]) -> None:
        action, *arguments = event
        if action in NEEDS_A_RUN and not self.world.puppets:
            self.claim_all(1)
            if not self.world.puppets:
                self.create()
                self.claim_all(50)
        if action in NEEDS_A_TASK and not self.lives:
            self.create()
        getattr(self, action)(*arguments)

    # --- what holds at any moment

    @invariant()
    def the_table_is_as_the_model_says(self) -> None:
        assert self.world.sql(ROWS) == [life.row() for life in self.lives.values()]

    @invariant()
    def every_recorded_step_is_there_once_and_unchanged(self) -> None:
        found: dict[str, dict[str, int]] = {}
        rows = self.world.sql("SELECT t.id, s.name, s.output FROM steps s JOIN tasks t ON t.seq = s.task")
        for task_id, name, output in rows:
            assert name not in found.setdefault(task_id, {})
            found[task_id][name] = int(output)
        assert found == {life.id: life.steps for life in self.lives.values() if life.steps}

    @invariant()
    def results_and_errors_are_those_of_the_end(self) -> None:
        async def rows() -> list[Any]:
            return await asyncio.gather(*(self.store.get(life.id) for life in self.lives.values()))

        for life, row in zip(self.lives.values(), self.do(rows()), strict=True):
            assert row.result == (None if life.result is None else str(life.result))
            if life.status == "failed":
                assert row.error_type == life.error
            assert row.created_at >= START

    @invariant()
    def it_is_known_who_ran_beside_whom_at_a_crash(self) -> None:
        rows = self.world.sql("SELECT g.worker, t.id FROM crash_groups g LEFT JOIN tasks t ON t.seq = g.task")
        assert set(rows) == self.groups.rows()

    @invariant()
    def the_tables_are_sound(self) -> None:
        assert_sound(self.world.sql)
