"""What blocks the event loop, in a file: the process may end before it can write to its database again."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

import msgspec

from quart_app.core.errors import StoreUnavailable
from quart_app.core.task import Claimed
from quart_app.store.protocols.tasks import Store

log = logging.getLogger("quart_app.runner")

NAME: Final = "blocked.json"


class _Kept(msgspec.Struct):
    task: str
    fence: int
    at: int
    data: str


class BlockedNote:
    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    def keep(self, task: Claimed, data: str, now: int) -> None:
        """Keep the data of an event of this run until `drop`."""
        temporary = self._path.with_suffix(".new")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(_Kept(task.id, task.fence, now, data)))
            temporary.rename(self._path)
        except OSError as error:
            log.warning("the stack of what blocks the event loop was not kept in a file: %s", error)

    def drop(self) -> None:
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s was not deleted: %s", self._path, error)

    async def recall(self, store: Store) -> None:
        """Write what the last process has kept to the history, before its runs are recovered: after that they are not
        its own any more."""
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError) as error:
            log.warning("%s cannot be read: %s", self._path, error)
        else:
            try:
                await store.log(kept.task, kept.fence, kept.data, kept.at)
            except StoreUnavailable:
                return  # the next start tries again
        self.drop()
