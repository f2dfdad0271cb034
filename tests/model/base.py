"""What all actions share: the world, the model of it, and how one is found from the other.

An action is a plain method: it does something to the world, does the same to the model and compares what it can see
at once. The rules of machine.py choose among the actions.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine

from tests.model.model import Groups, Key, Life
from tests.model.world import Puppet, World

PARKED = "kind:ghost"


@dataclass
class Memory:
    """What a run knows by itself: the steps it was started with or made, and the names it has used."""

    recorded: dict[str, int]
    used: set[str] = field(default_factory=set)
    clears_crashes: bool = False


class Base(RuleBasedStateMachine):
    template: Path | None = None
    """A migrated file to start from; None: make one."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="quart-app-model-")
        self.world = World(Path(self._folder.name), self.template)
        self.lives: dict[str, Life] = {}
        self.keys: dict[str, Key] = {}
        self.groups = Groups()
        self.memories: dict[Puppet, Memory] = {}
        self.made = 0
        self._value = 0

    def teardown(self) -> None:
        self.world.end()
        self._folder.cleanup()

    @property
    def now(self) -> int:
        return self.world.clock.now()

    @property
    def store(self) -> Any:
        return self.world.worker.store

    def do(self, coroutine: Any) -> Any:
        return self.world.run(coroutine)

    def new_value(self) -> int:
        """A result or output that was never used before, so that a second record of anything shows."""
        self._value += 1
        return self._value

    # `pick` chooses among what there is, so that an example shrinks without losing its meaning.

    def some_life(self, pick: int) -> Life:
        return list(self.lives.values())[pick % len(self.lives)]

    def some_puppet(self, pick: int) -> Puppet:
        return self.world.puppets[pick % len(self.world.puppets)]

    def life_of(self, puppet: Puppet) -> Life | None:
        """The task this run holds; None when it lost its claim, or the task is gone: then it is a zombie, and
        nothing it does may change anything."""
        life = self.lives.get(puppet.claimed.id)
        return life if life is not None and life.held_by(puppet.claimed.fence) else None

    def adopt(self, claimed: list[Any]) -> None:
        """Start what was claimed; a run of an unknown kind is over at once."""
        for puppet in self.world.start(claimed):
            life = self.lives[puppet.claimed.id]
            self.memories[puppet] = Memory(dict(life.steps), clears_crashes=life.crashes > 0)
            assert not life.cancel_asked, "a cancel that was promised ends the run that heard of it, or its end"
            if life.kind == "ghost":
                life.give_back(ready=False)
                life.waiting_for = PARKED
            assert puppet.ended == (life.status != "processing")
