"""Random histories of limited tasks: the store beside a model that knows nothing of lanes.

The model keeps a list of the tasks, what limits there are, and when tasks started. After each claim nothing may be
above a limit, and no task may wait that could start while slots are free. At the end nothing is limited, and all must
end.
"""

from __future__ import annotations

import random
from collections import defaultdict

import msgspec

from tests.store.lane_kit import LaneStore
from tests.store.lane_sums import assert_sums

STEPS = 120
SLOTS = 5
QUEUES = ("default", "mail")
OWNERS = ("", "ann", "bob")
KINDS: dict[str, tuple[tuple[str, str | None], ...]] = {
    "free": (),
    "one": (("a", None),),
    "two": (("a", None), ("b", None)),
    "keyed": (("b", None), ("c", "k")),
    "rated": (("r", None), ("a", None)),
    "both": (("s", "k"),),
}
WINDOW = 1_000
ENDS = {
    "complete": "completed",
    "fail": "failed",
    "suspend": "asleep",
    "suspend_for_children": "ready",  # it has none
    "crash": "ready",
}


class Waiting(msgspec.Struct):
    """A task of the model. `resumed`: it was asleep, so its next run is no start."""

    id: str
    kind: str
    queue: str
    owner: str
    key: int
    state: str = "ready"
    fence: int = 0
    crashes: int = 0
    resumed: bool = False

    @property
    def gates(self) -> list[str]:
        return [name if arg is None else f"{name}/{self.key}" for name, arg in KINDS[self.kind]]


class History:
    def __init__(self, number: int) -> None:
        self.dice = random.Random(number)
        self.store = LaneStore(SLOTS)
        self.tasks: dict[str, Waiting] = {}
        self.running: dict[str, int | None] = {"a": 2, "b": 1, "c": 1, "s": 1}
        self.rate: int | None = 2  # of r and of s
        self.starts: dict[str, list[int]] = defaultdict(list)
        self.paused: set[str] = set()  # queues and kinds
        self.queue_limit: int | None = None
        self.restarted = -WINDOW  # when; a start of an earlier process may count for longer than it has to
        for name, most in self.running.items():
            self.store.limit(name, concurrency=most)
        self.limit_rates()
        for kind, limits in KINDS.items():
            if limits:
                self.store.kind(kind, *limits)

    def play(self) -> None:
        try:
            self._play()
        finally:
            self.store.close()

    def _play(self) -> None:
        more = self.time, self.store.prune, self.move
        for _ in range(STEPS):
            self.dice.choices(
                (self.add, self.cancel, self.end, self.rerun, self.change, self.pause, self.restart, *more),
                (10, 2, 9, 1, 1, 1, 0.3, 2, 0.5, 1),
            )[0]()
            if self.dice.random() < 0.8:
                self.claim()
            assert_sums(self.store)
        self.finish()

    # --- what happens

    def add(self) -> None:
        for _ in range(self.dice.randint(1, 3)):
            kind, queue, owner = (self.dice.choice(list(some)) for some in (KINDS, QUEUES, OWNERS))
            key = self.dice.randint(1, 3)
            made = self.store.enqueue(kind, owner, queue, self.dice.randint(0, 2), f'{{"k":{key}}}')
            self.tasks[made] = Waiting(made, kind, queue, owner, key)

    def of(self, *states: str) -> list[Waiting]:
        return [task for task in self.tasks.values() if task.state in states]

    def cancel(self) -> None:
        for task in self.dice.sample(waiting := self.of("ready"), k=min(len(waiting), 1)):
            self.store.end("cancel_pending", task.id, task.fence)
            task.state = "cancelled"

    def end(self) -> None:
        for task in self.dice.sample(runs := self.of("running"), k=min(len(runs), self.dice.randint(1, 2))):
            verb = self.dice.choices(tuple(ENDS), (6, 1, 2, 1, 1))[0]
            self.store.end(verb, task.id, task.fence)
            task.crashes = (
                task.crashes + 1 if verb == "crash" else 0 if verb == "suspend_for_children" else task.crashes
            )
            task.resumed = verb.startswith("suspend")
            task.state = ENDS[verb]
        if (asleep := self.of("asleep")) and self.dice.random() < 0.7:
            self.store.wake()
            for task in asleep:
                task.state = "ready"

    def rerun(self) -> None:
        for task in self.dice.sample(ended := self.of("cancelled", "failed"), k=min(len(ended), 2)):
            self.store.rerun(task.id)
            task.state, task.crashes, task.resumed = "ready", 0, False

    def change(self) -> None:
        name = self.dice.choice(("a", "b", "c", "r", "queue"))
        most = self.dice.choice((None, 1, 2, 3))
        if name == "r":
            self.rate = most
            self.limit_rates()
        elif name == "queue":
            self.queue_limit = most
            self.store.limit("queue:mail", concurrency=most)
        else:
            self.running[name] = most
            self.store.limit(name, concurrency=most)

    def limit_rates(self) -> None:
        self.store.limit("r", rate=self.rate, window_ms=WINDOW)
        self.store.limit("s", concurrency=self.running["s"], rate=self.rate, window_ms=WINDOW)

    def move(self) -> None:
        for task in self.dice.sample(waiting := self.of("ready", "asleep"), k=min(len(waiting), 2)):
            task.queue, task.key = self.dice.choice(QUEUES), self.dice.randint(1, 3)
            self.store.change(task.id, task.queue, f'{{"k":{task.key}}}')
            task.resumed = False

    def pause(self) -> None:
        name = self.dice.choice(("mail", "free", "two"))
        self.store.pause(name, queue=name == "mail", paused=name not in self.paused)
        self.paused ^= {name}

    def restart(self) -> None:
        for task in self.of("running"):
            self.store.end("crash", task.id, task.fence)
            task.state, task.crashes, task.resumed = "ready", task.crashes + 1, False
        self.store.up += 1 if self.dice.random() < 0.5 else WINDOW
        self.store.begin()
        self.restarted = self.store.up

    def time(self) -> None:
        step = self.dice.choice((10, 400, WINDOW))
        self.store.up += step
        self.store.now += self.dice.choice((step, step, -7_200_000, 7_200_000))

    # --- claims

    def claim(self) -> None:
        """Claim as the dispatcher does, until no claim finds anything."""
        for _ in range(50):
            free = SLOTS - len(self.of("running"))
            before = len(self.of("running"))
            rows, again, _, _ = self.store.claim(
                dict.fromkeys(QUEUES, free // 2) if free > 1 else {self.dice.choice(QUEUES): free}
            )
            for row in rows:
                self.started(row)
            for row in self.store.claim_suspects(max(SLOTS - len(self.of("running")), 0)):
                self.started(row)
            if len(self.of("running")) == before and not again:
                break
        else:
            raise AssertionError("claims go on and on")
        # One slot alone is offered to one queue only.
        if SLOTS - len(self.of("running")) > 1:
            assert not (idle := [task for task in self.of("ready") if self.may_start(task, must=True)]), idle

    def started(self, row: tuple[object, ...]) -> None:
        task = self.tasks[str(row[0])]
        assert task.state == "ready"
        assert self.may_start(task), f"{task} starts above a limit"
        if not task.resumed and self.rate is not None:  # else it is not on record
            for gate in task.gates:
                self.starts[gate].append(self.store.up)
        task.state, task.fence, task.resumed = "running", int(str(row[1])), False

    def may_start(self, task: Waiting, must: bool = False) -> bool:
        if task.kind in self.paused or task.queue in self.paused:
            return False
        runs = self.of("running")
        for gate in task.gates:
            most = self.running.get(gate[0])
            if most is not None and sum(gate in other.gates for other in runs) >= most:
                return False
        in_queue = sum(other.queue == "mail" for other in runs)
        if task.queue == "mail" and self.queue_limit is not None and in_queue >= self.queue_limit:
            return False
        rated = [gate for gate in task.gates if gate[0] in "rs"]
        if not rated or self.rate is None or task.resumed:
            return True
        if must and self.store.up < self.restarted + WINDOW:
            return False
        return all(sum(at > self.store.up - WINDOW for at in self.starts[gate]) < self.rate for gate in rated)

    def finish(self) -> None:
        """Nothing is limited any more: each task must end."""
        for name in self.running:
            self.running[name] = None
            self.store.limit(name)
        self.rate = self.queue_limit = None
        self.limit_rates()
        self.store.limit("queue:mail")
        for name in list(self.paused):
            self.store.pause(name, queue=name == "mail", paused=False)
            self.paused.discard(name)
        for _ in range(300):
            if self.of("asleep"):
                self.store.wake()
            for task in self.of("asleep"):
                task.state = "ready"
            self.claim()
            for task in self.of("running"):
                self.store.end("complete", task.id, task.fence)
                task.state = "completed"
            assert_sums(self.store)
            if not self.of("ready", "asleep"):
                return
        raise AssertionError(f"they never start: {self.of('ready')}")
