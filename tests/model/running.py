"""Runs are claimed, work, and end. Any of them may have lost its claim meanwhile."""

from __future__ import annotations

from typing import Any

from quart_app.core.errors import NonRetryable, Retry
from tests.model.base import Base
from tests.model.model import Life
from tests.model.world import BACKOFF


class Running(Base):
    def claim_all(self, limit: int = 3) -> None:
        self.claim("default", limit)
        self.claim("other", limit)
        self.claim_suspect()

    def claim(self, queue: str = "default", limit: int = 1) -> None:
        worker = self.world.worker
        candidates = [life for life in self.lives.values() if self._claimable(life) and life.queue == queue]
        expected = sorted(candidates, key=lambda life: (-life.priority, life.run_at, life.seq))[:limit]
        if candidates:
            assert queue in worker.rung, "no doorbell told of a ready task"
        claimed = self.do(worker.store.claim({queue: limit}, self.now))
        assert {one.id for one in claimed} == {life.id for life in expected}
        if len(claimed) < limit:
            worker.rung.discard(queue)
        for life in expected:
            life.claim(worker.name, self.now)
        self._check_claims(claimed)

    def _claimable(self, life: Life) -> bool:
        fresh = life.expires_at is None or life.expires_at > self.now
        return life.status == "pending" and life.ready and life.crashes < 2 and fresh

    def _check_claims(self, claimed: list[Any]) -> None:
        for one in claimed:
            life = self.lives[one.id]
            assert (one.fence, one.attempt, one.crashes) == (life.fence, life.attempt, life.crashes)
            assert (one.cancel_requested, one.has_steps) == (life.cancel_asked, bool(life.steps))
        self.adopt(claimed)

    @property
    def suspects(self) -> list[Life]:
        return [life for life in self.lives.values() if life.status == "pending" and life.ready and life.crashes >= 2]

    def claim_suspect(self) -> None:
        expected = sorted(self.suspects, key=lambda life: (life.lived, life.run_at, life.seq))[:1]
        claimed = self.do(self.store.claim_suspects(2, 99, 1, self.now))
        assert [one.id for one in claimed] == [life.id for life in expected]
        for life in expected:
            life.claim(self.world.worker.name, self.now)
        self._check_claims(claimed)

    def step(self, pick: int = 0, name: str = "a") -> None:
        puppet = self.some_puppet(pick)
        life, memory = self.life_of(puppet), self.memories[puppet]
        if name in memory.used:
            return
        memory.used.add(name)
        value = self.new_value()
        answer = self.world.tell(puppet, "step", name, value)
        if name in memory.recorded:
            assert answer == (memory.recorded[name], False), "a recorded step ran again, or came back changed"
        elif life is None:
            assert puppet.ended, "a run that lost its claim must stop at its next step"
        else:
            assert answer == (value, True)
            memory.recorded[name] = life.steps[name] = value
            if memory.clears_crashes:
                life.crashes, memory.clears_crashes = 0, False
                self.groups.leave(life.id)

    def progress_and_log(self, pick: int = 0, done: int = 1) -> None:
        puppet = self.some_puppet(pick)
        life = self.life_of(puppet)
        self.world.tell(puppet, "log", f"at {done}")
        if life is None:
            assert puppet.ended
            return
        self.world.clock.advance(1)
        self.world.tell(puppet, "progress", done, 5)
        assert (self.do(self.store.get(life.id))).done == done

    def complete(self, pick: int = 0) -> None:
        puppet = self.some_puppet(pick)
        life = self.life_of(puppet)
        value = self.new_value()
        self.world.tell(puppet, "return", value)
        assert puppet.ended
        if life is not None:
            life.complete(value, self.now)

    def fail(self, pick: int = 0, error: str = "plain") -> None:
        puppet = self.some_puppet(pick)
        life = self.life_of(puppet)
        if error == "not json":
            self.world.tell(puppet, "return", {1})
        else:
            self.world.tell(puppet, "raise", self.error_of(error))
        assert puppet.ended
        if life is not None and life.cancel_asked:
            life.end("cancelled", self.now)
        elif life is not None:
            self.ended_as(life, error)

    def error_of(self, error: str) -> Exception:
        return {"retry": Retry(after=2), "final": NonRetryable("x")}.get(error, ValueError("x"))

    def ended_as(self, life: Life, error: str) -> None:
        """Its run ended so, and that is on record."""
        if error == "complete":
            life.complete(self._value, self.now)
            return
        if error in ("final", "not json") or life.attempt >= life.max_attempts:
            names = {"retry": "Retry", "final": "NonRetryable", "not json": "not_json"}
            life.end("failed", self.now, names.get(error, "ValueError"))
            return
        life.wait(ready=False)
        life.crashes = 0
        life.run_at = self._run_at(life)
        delay = life.run_at - self.now
        first, factor, cap = BACKOFF
        assert (
            delay == 2_000 if error == "retry" else 0 <= delay <= min(cap, first * factor ** (life.attempt - 1)) * 1000
        )

    def _run_at(self, life: Life) -> int:
        ((run_at,),) = self.world.sql("SELECT run_at FROM tasks WHERE id = ?", life.id)
        return int(run_at)
