"""Processes end, in every way they can, and the next one goes on."""

from __future__ import annotations

from tests.model.hands import Hands
from tests.model.model import SOLE, Life
from tests.model.running import Running
from tests.model.world import MAX_CRASHES


class Dying(Running, Hands):
    def stop_gracefully(self) -> None:
        """SIGTERM: what runs is released and charged nothing."""
        mine = [puppet for puppet in self.world.puppets if puppet.worker is self.world.worker]
        held = [(puppet, self.life_of(puppet)) for puppet in mine]
        self.world.worker.runner.stop()
        for puppet, life in held:
            self.world.wait_for_end(puppet)
            if life is not None and life.cancel_asked:
                life.end("cancelled", self.now)
            elif life is not None:
                life.give_back(ready=True)

    def crash_but_live_on(self) -> None:
        """The process is taken for dead while it only sleeps: from now on its runs are zombies-to-be."""
        self.world.another_worker()
        self._ring_all()

    def kill_9(self) -> None:
        self.world.kill_9()
        self._ring_all()

    def _ring_all(self) -> None:
        """What the runtime does at its start."""
        for count in self.do(self.store.counts()):
            if count.ready:
                self.world.worker.rung.add(count.queue)
                self.world.worker.suspects_rung = True

    @property
    def orphans(self) -> list[Life]:
        mine = self.world.worker.name
        return [life for life in self.lives.values() if life.status == "processing" and life.worker != mine]

    def recover(self) -> None:
        orphans = self.orphans
        assert self.do(self.world.worker.rescuer.bite(self.now)) == len(orphans)
        self.crash(orphans)

    def _sole(self, life: Life, orphans: list[Life]) -> int:
        """Crashes of which nobody else may be the cause, this one too."""
        assert life.worker is not None
        alone = [one.id for one in orphans if one.worker == life.worker] == [life.id]
        return self.groups.sole(life.id, self.lives) + (alone and not self.groups.of.get(life.worker))

    def crash(self, orphans: list[Life]) -> None:
        """What becomes of those that ran when their workers died. Who is to blame is decided before anything is
        written."""
        poisoned = [
            life
            for life in orphans
            if not life.cancel_asked
            and life.crashes + 1 >= MAX_CRASHES
            and self._sole(life, orphans) >= min(SOLE, MAX_CRASHES - 2)
        ]
        guilty = {life.worker for life in poisoned}
        for life in orphans:
            if life.cancel_asked:
                life.end("cancelled", self.now)
            elif life not in poisoned:
                if not life.crashes:
                    self.groups.leave(life.id)
                if life.worker is not None and life.worker not in guilty:
                    self.groups.join(life.worker, life.id)
                life.crash(self.now)
        for life in poisoned:
            self.groups.solve(life.id)
            life.crashes += 1
            life.end("failed", self.now, "poisoned")

    def die_and_go_on(self, lives_on: bool = True, seconds: float = 130) -> None:
        """The whole way of a crash, as a server's start goes it: without this it takes luck to get far."""
        if lives_on:
            self.crash_but_live_on()
        else:
            self.kill_9()
        self.recover()
        self.time_passes(seconds)
        self.poll()
        self.claim_all()
