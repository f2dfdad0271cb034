"""Tasks are made, once or again under a key."""

from __future__ import annotations

from typing import Any

from quart_app.core.errors import IdempotencyConflict, KeyedTaskGone
from tests.model.base import Base
from tests.model.model import Key, Life
from tests.store.kit import new_task


class Creating(Base):
    def create_with(self, options: dict[str, Any]) -> None:
        self.create(**options)

    def create(
        self,
        queue: str = "default",
        kind: str = "puppet",
        delay: int = 0,
        priority: int = 0,
        attempts: int = 2,
        expires: int | None = None,
        retention: int | None = None,
        key: str | None = None,
        fingerprint: str = "f",
    ) -> None:
        new = new_task(
            self.now,
            delay,
            kind=kind,
            args="{}",
            queue=queue,
            priority=priority,
            max_attempts=attempts,
            expires_at=None if expires is None else self.now + expires,
            retention_ms=retention,
            idempotency_key=key,
            fingerprint=fingerprint if key else "",
            key_expires_at=self.now + 8_000 if key else 0,
        )
        known = self.keys.get(key) if key else None
        if known is not None and known.expires_at > self.now:
            self._create_again(new, known)
            return
        (answer,) = self.do(self.store.enqueue([new]))
        assert (answer.id, answer.status, answer.replayed) == (new.id, "pending", False)
        self.made += 1
        self.lives[new.id] = Life(
            id=new.id,
            seq=self.made,
            kind=kind,
            queue=queue,
            priority=priority,
            max_attempts=attempts,
            run_at=self.now + delay,
            ready=delay == 0,
            created_at=self.now,
            expires_at=new.expires_at,
            retention=retention,
        )
        if key:
            self.keys[key] = Key(new.id, fingerprint, new.key_expires_at)

    def _create_again(self, new: Any, known: Key) -> None:
        """A key that still holds makes no second task."""
        try:
            (answer,) = self.do(self.store.enqueue([new]))
        except IdempotencyConflict:
            assert known.fingerprint != new.fingerprint
        except KeyedTaskGone:
            assert known.fingerprint == new.fingerprint
            assert known.task_id not in self.lives
        else:
            assert known.fingerprint == new.fingerprint
            assert (answer.id, answer.replayed) == (known.task_id, True)
            assert answer.status == self.lives[known.task_id].status
