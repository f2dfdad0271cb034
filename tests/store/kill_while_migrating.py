"""Run by test_migrate_kill.py as a process of its own: migrates a file again and again, each time in a child that
kills itself with SIGKILL one statement later, until one child gets through. Prints how many were killed.

`python -m tests.store.kill_while_migrating FOLDER old|new`: leaves FOLDER/0.db, 1.db, … as the children left them;
`old`: each file starts with the first schema and a row in it, and the second migration is applied.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Any

from quart_app.store import migrate
from quart_app.store.sqlite.database import Database
from tests.store.migrations import SECOND, first_and


class Killing:
    """A connection that passes on `allowed` statements and does not live to see the next."""

    def __init__(self, connection: migrate.Connection, allowed: int) -> None:
        self._connection = connection
        self._left = allowed

    async def execute_fetchall(self, sql: str, parameters: Iterable[Any] | None = None) -> Iterable[Any]:
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1
        return await self._connection.execute_fetchall(sql, parameters)


async def migrate_and_die(path: Path, migrations: list[migrate.Migration], allowed: int) -> None:
    database = Database(path, "FULL", print)
    connection = await database.connect()
    await migrate.apply(Killing(connection, allowed) if allowed >= 0 else connection, migrations, 0)
    await database.close()


def in_child(path: Path, migrations: list[migrate.Migration], allowed: int) -> int:
    """The wait status of the child."""
    child = os.fork()
    if child == 0:
        asyncio.run(migrate_and_die(path, migrations, allowed))
        os._exit(0)
    return os.waitpid(child, 0)[1]


def main(folder: Path, start: str) -> None:
    first = migrate.find("sqlite")[:1]
    old = folder / "old"
    if start == "old":
        assert in_child(old, first, -1) == 0
    for number in count():
        path = folder / f"{number}.db"
        if start == "old":
            shutil.copy(old, path)
        status = in_child(path, first_and(SECOND) if start == "old" else first, number)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            continue
        assert status == 0
        print(number)
        return


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
