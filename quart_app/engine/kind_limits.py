"""Which limits hold for the tasks of a kind, and of the queues of the built-in kinds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from quart_app.core.claim_limits import MOST, Limit, LimitDefinition, check, rate
from quart_app.core.errors import ConfigError
from quart_app.core.task import CPU_QUEUE

WAITING_CHILDREN: Final = 2  # process tasks that hold a slot while they wait for a child, so that the next is ready
# Queues of visitors' tasks and of calls to other servers may hold a quarter of the slots each.
QUARTERS: Final = ("audit", "cat-facts", "cat-facts-limited", "crawl")


class KindLimit(msgspec.Struct, frozen=True):
    """`key`: the arg whose values have a limit each; None: one limit for all tasks."""

    definition: LimitDefinition
    key: str | None = None


def limits_of(
    kind: str,
    args: Sequence[str],
    rate_limit: str | None,
    rate_key: str | None,
    concurrency: int | None,
    concurrency_key: str | None,
    shared: Sequence[Limit],
) -> tuple[KindLimit, ...]:
    """The limits of a kind with these args, from the options of @task. Raises ConfigError."""
    what = f"@task({kind!r})"
    check(what, rate_limit, concurrency)
    if not isinstance(shared, Sequence) or not all(isinstance(one, Limit) for one in shared):
        raise ConfigError(f"{what}: limits are Limit(...), in a list")
    if (rate_key is not None and rate_limit is None) or (concurrency_key is not None and concurrency is None):
        raise ConfigError(f"{what}: rate_key goes with rate_limit, and concurrency_key with concurrency")
    found = [KindLimit(one.definition(), one.key) for one in shared]
    found += _own(f"kind:{kind}", rate_limit, rate_key, concurrency, concurrency_key)
    for one in found:
        if one.key is not None and one.key not in args:
            raise ConfigError(
                f"{what}: the limit {one.definition.name!r} has the key {one.key!r}, which is no argument"
            )
    names = [one.definition.name for one in found]
    if len(found) > MOST or len(set(names)) < len(names):
        raise ConfigError(f"{what}: a task has at most {MOST} limits, and each of them once")
    return tuple(found)


def _own(
    name: str, rate_limit: str | None, rate_key: str | None, concurrency: int | None, concurrency_key: str | None
) -> list[KindLimit]:
    """One limit; with two different keys two."""
    starts = None if rate_limit is None else rate(rate_limit)
    if starts is None and concurrency is None:
        return []
    if starts is not None and concurrency is not None and rate_key != concurrency_key:
        return [
            KindLimit(LimitDefinition(f"{name}:rate", None, starts), rate_key),
            KindLimit(LimitDefinition(f"{name}:concurrency", concurrency), concurrency_key),
        ]
    return [KindLimit(LimitDefinition(name, concurrency, starts), rate_key if starts is not None else concurrency_key)]


def queue_limits(concurrency: int, cpu_slots: int) -> dict[str, int]:
    """How many tasks of these queues may run at once, unless an operator says otherwise."""
    quarters = dict.fromkeys(QUARTERS, max(concurrency // 4, 1))
    return {**quarters, "reports": cpu_slots, CPU_QUEUE: cpu_slots + WAITING_CHILDREN}
