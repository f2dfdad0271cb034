"""The store refuses: for a moment, because another program holds it, or this one end of a run for good."""

from __future__ import annotations

from tests.model.dying import Dying
from tests.model.model import SOLE, Life
from tests.model.world import MAX_CRASHES


class Troubling(Dying):
    def enqueue_within(self, pick: int = 0) -> None:
        """A handler makes another task; also one whose claim is lost, because that is not written under its fence."""
        puppet = self.some_puppet(pick)
        made: str = self.world.tell(puppet, "enqueue")
        self.made += 1
        self.lives[made] = Life(
            id=made,
            seq=self.made,
            kind="puppet",
            queue="default",
            priority=0,
            max_attempts=1,
            run_at=self.now,
            ready=True,
            created_at=self.now,
        )

    def drain_begins(self) -> None:
        """Clients are sent away; what runs goes on as before."""
        self.world.worker.service.stop_accepting()

    def in_trouble(self, pick: int = 0, action: str = "step") -> None:
        """Another program holds the database while a run writes: that costs time alone."""
        with self.world.trouble():
            match action:
                case "step":
                    self.step(pick, "d")
                case "enqueue":
                    self.enqueue_within(pick)
                case "complete":
                    self.complete(pick)
                case "fail":
                    self.fail(pick)
                case "final":
                    self.fail(pick, "final")

    def end_refused(self, pick: int = 0, action: str = "fail", causes: tuple[str, ...] = ("retry",)) -> None:
        """A run ends, and the store will not have it."""
        puppet = self.some_puppet(pick)
        life = self.life_of(puppet)
        written = {"complete": "complete", "fail": "retry", "final": "fail"}[action]
        if life is not None and action == "fail" and life.attempt >= life.max_attempts:
            written = "fail"
        with self.world.refusing(*causes):
            if action == "complete":
                self.world.tell(puppet, "return", self.new_value())
            else:
                self.world.tell(puppet, "raise", self.error_of(action))
        assert puppet.ended
        if life is None:
            return
        if life.cancel_asked and written != "complete":
            life.end("cancelled", self.now)
        elif written not in causes:
            self.ended_as(life, action)
        elif life.cancel_asked:
            life.end("cancelled", self.now)
        elif "fail" not in causes:
            life.end("failed", self.now, "runner_error")
        # Else it stays processing, and nobody runs it.

    @property
    def strays(self) -> list[Life]:
        mine = self.world.worker
        held = {puppet.claimed.id for puppet in self.world.puppets if puppet.worker is mine and self.life_of(puppet)}
        return [
            life
            for life in self.lives.values()
            if life.status == "processing" and life.worker == mine.name and life.id not in held
        ]

    def look_for_strays(self) -> None:
        strays = self.strays
        for _ in range(2):
            self.do(self.world.worker.rescuer.give_back_strays(self.now))
        for life in strays:
            if life.cancel_asked:
                life.end("cancelled", self.now)
            elif life.crashes + 1 >= MAX_CRASHES and life.crashes + 1 >= min(SOLE, MAX_CRASHES - 2):
                self.groups.solve(life.id)
                life.crashes += 1
                life.end("failed", self.now, "poisoned")
            else:
                if not life.crashes:
                    self.groups.leave(life.id)
                life.crash(self.now)
