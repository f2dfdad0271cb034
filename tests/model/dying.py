"""Processes end, in every way they can, and the next one goes on."""

from __future__ import annotations

from tests.model.hands import Hands
from tests.model.model import Life
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
            if life is not None:
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
        assert self.do(self.world.worker.rescuer.run_once(self.now)) == len(orphans)
        for life in orphans:
            life.crash(self.now, MAX_CRASHES)

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
