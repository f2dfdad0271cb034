"""Keeps every owner within its quotas. What an owner has is counted in the store, in the transactions that change it.
Here it is read rarely, and what was accepted since is added, so that an estimate is never too low."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from quart_app.clock import Clock
from quart_app.core.errors import InvalidArgs
from quart_app.core.keys import Caller
from quart_app.core.quotas import MAX_QUEUES, QuotaExceeded, Quotas, Usage
from quart_app.core.task import NewTask
from quart_app.service.keys import Keys
from quart_app.settings import Settings
from quart_app.store.protocols.quotas import QuotaStore

NONE: Final = Quotas()
FRESH: Final = 0.05  # seconds for which a count is good enough to refuse
CHUNK: Final = 1000  # tasks in one statement


class Amount(NamedTuple):
    """What a request takes of the quotas of these names."""

    waiting: int = 0
    delayed: int = 0
    bytes: int = 0
    uploads: int = 0


class OneTask(NamedTuple):
    """What the quotas look at in a task. NewTask has the same attributes."""

    owner: str
    queue: str
    args: str
    ready: bool


class _Owner:
    """What one owner has: as it was read, what was accepted since then, and what is being written."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.read_at = float("-inf")
        self.queues: set[str] = set()
        self.flying = Amount()
        self._landed = Amount()  # in all
        self._base = Amount()  # `_landed` when the read began

    def begin_read(self) -> Amount:
        return self._landed

    def end_read(self, usage: Usage, base: Amount, now: float) -> None:
        if base < self._base:
            return  # a read that began later has ended before
        self.usage, self._base, self.read_at = usage, base, now
        self.queues = set(usage.queues)

    def take(self, amount: Amount, queues: Collection[str]) -> None:
        self.flying = _sum(self.flying, amount)
        self.queues.update(queues)

    def release(self, amount: Amount, landed: bool) -> None:
        """What has landed counts until the next read."""
        self.flying = _sum(self.flying, amount, -1)
        if landed:
            self._landed = _sum(self._landed, amount)

    def used(self) -> Amount:
        """At most this is used; nothing is known before the first read."""
        usage = self.usage or Usage()
        read = Amount(usage.waiting, usage.delayed, usage.bytes, usage.uploads)
        return _sum(_sum(read, self.flying), _sum(self._landed, self._base, -1))


class Hold:
    """What a request takes, while it is being written."""

    def __init__(self, parts: Iterable[tuple[_Owner, Amount]]) -> None:
        self._parts = list(parts)

    def release(self, landed: bool = True) -> None:
        """`landed` False: for certain nothing was written."""
        for owner, amount in self._parts:
            owner.release(amount, landed)
        self._parts.clear()


HoldTasks = Callable[[Sequence[NewTask | OneTask]], Awaitable[Hold | None]]


async def no_quotas(tasks: Sequence[NewTask | OneTask]) -> None:
    return None


class OwnerQuotas:
    def __init__(self, store: QuotaStore, clock: Clock, settings: Settings, keys: Keys) -> None:
        self._store = store
        self._clock = clock
        self._keys = keys
        self._alone = Quotas(
            waiting=settings.quota_waiting or None,
            delayed=settings.quota_delayed or None,
            bytes=settings.quota_bytes or None,
            uploads=settings.quota_uploads or None,
            schedules=settings.quota_schedules,
            rate=settings.quota_rate or None,
        )
        half = max(settings.queue_limit // 2, 1)
        self._beside_others = Quotas(waiting=half).over(self._alone) if not settings.quota_waiting else self._alone
        self._owners: dict[str, _Owner] = {}

    @property
    def default(self) -> Quotas:
        """The quotas of a key that has none of its own. One key alone may fill the whole queue."""
        return self._beside_others if len(self._keys.ring) > 1 else self._alone

    def of(self, owner: str) -> Quotas:
        """The quotas of an owner. A key with the scope admin has only those that were set for it."""
        if not owner:
            return NONE
        caller = self._keys.of(owner)
        return self.of_caller(caller) if caller is not None else self.default

    def of_caller(self, caller: Caller) -> Quotas:
        if not caller.name:
            return NONE
        if "admin" in caller.scopes:
            return caller.quotas or NONE
        return caller.quotas.over(self.default) if caller.quotas is not None else self.default

    async def usage(self, owner: str) -> Usage:
        return await self._store.usage(owner)

    async def count_files(self, sizes: Mapping[str, int]) -> None:
        """Record what the files of tasks take; `sizes`: bytes by task id."""
        if not self._keys.exist:
            return
        of_owners: Counter[str] = Counter()
        ids = list(sizes)
        for start in range(0, len(ids), CHUNK):
            of_owners.update(await self._store.files_of_owners({one: sizes[one] for one in ids[start : start + CHUNK]}))
        await self._store.put_files_of_owners(of_owners)

    async def hold_tasks(self, tasks: Sequence[NewTask | OneTask]) -> Hold | None:
        """Call `release` of what it returns once the tasks are written, or are not. Raises QuotaExceeded, and
        InvalidArgs for one queue too many."""
        held: list[tuple[_Owner, Amount]] = []
        owners = {task.owner for task in tasks if task.owner}
        if not owners:
            return None
        try:
            for owner in owners:
                own = [task for task in tasks if task.owner == owner]
                waiting = sum(task.ready for task in own)
                sized = self.of(owner).bytes is not None
                size = sum(len(task.args.encode()) for task in own) if sized else 0
                amount = Amount(waiting, len(own) - waiting, size)
                held.append(await self._hold(owner, amount, {task.queue for task in own}))
        except BaseException:
            Hold(held).release(landed=False)
            raise
        return Hold(held)

    async def hold_upload(self, owner: str, size: int) -> Hold:
        """As `hold_tasks`, for an upload of so many bytes."""
        return Hold([await self._hold(owner, Amount(bytes=size, uploads=1))] if owner else [])

    def schedules_of(self, owner: str) -> int:
        """How many schedules an owner may have; the setting holds for the operator and for administrators, too."""
        most = self.of(owner).schedules or self._alone.schedules
        assert most is not None
        return most

    async def _hold(self, name: str, amount: Amount, queues: Collection[str] = ()) -> tuple[_Owner, Amount]:
        owner = self._owners.setdefault(name, _Owner())
        quotas = self.of(name)
        age = self._clock.monotonic() - owner.read_at
        if owner.usage is None or (age > FRESH and _exceeded(owner, amount, quotas, queues, near=True) is not None):
            base, now = owner.begin_read(), self._clock.monotonic()
            owner.end_read(await self._store.usage(name), base, now)
        # From here to `take` nothing else runs, so that no two requests have the same place.
        if (error := _exceeded(owner, amount, quotas, queues)) is not None:
            raise error
        owner.take(amount, queues)
        return owner, amount


def _exceeded(
    owner: _Owner, amount: Amount, quotas: Quotas, queues: Collection[str], near: bool = False
) -> Exception | None:
    """Why this amount is too much, or None. `near`: also when half of a quota is used."""
    used = owner.used()
    for name, asked, has in zip(Amount._fields, amount, used, strict=True):
        most: int | None = getattr(quotas, name)
        if asked and most is not None and has + asked > (most // 2 if near else most):
            return QuotaExceeded(name, has, most)
    new = [queue for queue in queues if queue not in owner.queues]
    if new and len(owner.queues) + len(new) > MAX_QUEUES:
        detail = f"one key may have tasks in {MAX_QUEUES} queues at a time; take one that is in use: {new[0]} is new"
        return InvalidArgs([("/queue", detail)])
    return None


def _sum(one: Amount, other: Amount, sign: int = 1) -> Amount:
    return Amount(*(a + sign * b for a, b in zip(one, other, strict=True)))
