"""Audits what is counted of owners for their quotas."""

from __future__ import annotations

from collections.abc import Callable

from quart_app.store.audit_reader import Interrupted, Reader


def audit_quotas(
    read: Reader, find: Callable[[str], None], count: Callable[[str, int], None], skip: Callable[[str], None]
) -> None:
    """`find` gets a line for each finding, `count` what was checked and how many, `skip` what could not be checked."""
    try:
        with read.snapshot():
            owners = read("owners")
            queues = read("owned_queues")
    except Interrupted:
        skip("quotas: too many tasks to count in a second beside a server that writes")
        return
    count("owners", len(owners))
    for owner, kept, uploads, real, real_uploads in owners:
        if (kept, uploads) != (real, real_uploads):
            find(f"owner {owner}: says {kept} bytes and {uploads} uploads, there are {real} and {real_uploads}")
    for owner, queue, wrong in queues:
        find(f"owner {owner}, queue {queue!r}: {wrong}")
