"""A person's hand, the passing of time, and upkeep."""

from __future__ import annotations

from tests.model.base import PARKED, Base
from tests.model.model import Life

KEEP = 60  # seconds of the world's pruner


class Hands(Base):
    def cancel(self, pick: int = 0, delivered: bool = True) -> None:
        """`delivered`: the run here hears of it; else it is on record only (the process dies before, or is another)."""
        life = self.some_life(pick)
        expected = {"pending": "cancelled", "processing": "requested"}.get(life.status, "ended")
        assert self.do(self.store.cancel(life.id, self.now)) == expected
        if expected == "cancelled":
            life.end("cancelled", self.now)
            life.cancel_asked = True
        elif expected == "requested":
            life.cancel_asked = True
            mine = [one for one in self.world.puppets if one.worker is self.world.worker and self.life_of(one) is life]
            if delivered and mine:
                self.world.worker.runner.cancel(life.id)
                self.world.wait_for_end(mine[0])
                life.end("cancelled", self.now)

    def rerun(self, pick: int = 0, restart: bool = False) -> None:
        life = self.some_life(pick)
        allowed = life.status in ("failed", "cancelled")
        assert self.do(self.store.rerun(life.id, restart, self.now)) is allowed
        if allowed:
            life.rerun(restart, self.now)

    def delete(self, pick: int = 0) -> None:
        life = self.some_life(pick)
        assert self.do(self.store.delete(life.id)) is life.ended
        if life.ended:
            self.forget(life)

    def forget(self, life: Life) -> None:
        del self.lives[life.id]
        if life.crashes and life.status == "cancelled":
            self.groups.solve(life.id)
        self.groups.leave(life.id)

    # --- time and upkeep

    def time_passes(self, seconds: float = 1) -> None:
        self.world.clock.advance(seconds)

    def let_time_pass_and_poll(self, seconds: float = 1) -> None:
        self.time_passes(seconds)
        self.poll()

    def let_time_pass_and_prune(self, seconds: float = 1) -> None:
        self.time_passes(seconds)
        self.prune()

    def poll(self) -> None:
        """The poller knows of everything that is due, by its doorbells alone."""
        worker = self.world.worker
        suspects = False
        while self.do(worker.poller.run_once(self.now)) == 0.0:
            pass
        for life in self.lives.values():
            if life.status != "pending":
                continue
            if life.expires_at is not None and life.expires_at <= self.now:
                life.end("failed", self.now, "expired")
            elif not life.ready and life.waiting_for is None and life.run_at <= self.now:
                life.ready = True
                suspects |= life.crashes >= 2
        assert worker.suspects_rung or not suspects

    def prune(self) -> None:
        border = self.now - KEEP * 1000
        while self.do(self.world.worker.pruner.run_once(self.now)) is not None:
            pass
        for life in list(self.lives.values()):
            if life.completed_at is None:
                continue
            gone = (
                life.completed_at < border if life.retention is None else life.completed_at + life.retention < self.now
            )
            if gone:
                self.forget(life)
        self.keys = {name: key for name, key in self.keys.items() if key.expires_at > self.now}

    def resume_waiting(self) -> None:
        """The kind is thought to be known (it still is not: the next run parks it again)."""
        parked = [life for life in self.lives.values() if life.waiting_for == PARKED]
        assert self.do(self.store.resume_waiting(["ghost", "puppet"], self.now, 100)) == len(parked)
        for life in parked:
            life.waiting_for, life.ready = None, True
