"""Uploads: takes in files piece by piece, finds them for the tasks of their owner, removes those nobody needs."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Final

from quart_app.clock import Clock, Trust, WallTrust
from quart_app.core.errors import StoreUnavailable, UploadNotFound, UploadsFull
from quart_app.core.marks import UploadRow
from quart_app.files import Files
from quart_app.runner.upload import Upload
from quart_app.store.base_uploads import UploadStore

log = logging.getLogger("quart_app.uploads")

FOLDER: Final = "uploads"
UNUSED_MS: Final = 86_400_000  # an upload that no task uses is kept for a day
MAX_UNUSED: Final = 1000  # of one owner
PIECE: Final = 262_144  # bytes written at once; each write is a trip to a thread
CHUNK: Final = 500  # files removed in one turn


class Uploads:
    def __init__(
        self, store: UploadStore, files: Files, folder: Path, clock: Clock, trust: Trust | None = None
    ) -> None:
        """`folder`: where the files are, FOLDER below the root of `files`."""
        self._store = store
        self._folder = folder
        self._files = files
        self._clock = clock
        self._trust = trust or WallTrust()
        self._leftover: list[str] = []

    # --- taking in

    async def receive(self, owner: str, name: str, pieces: AsyncIterator[bytes], key: str | None = None) -> Upload:
        """Write the pieces to disk and record them; both are durable when this returns. With a `key` the same bytes of
        the same owner are the same upload. What `pieces` raises is raised, and nothing is left behind. Raises
        UploadsFull, StoreUnavailable."""
        file = secrets.token_hex(16)
        try:
            writing = self._files.writing(FOLDER, file)
            out = await asyncio.to_thread(writing.__enter__)
            try:
                size, sha256 = await _write_all(out, pieces)
            except BaseException as error:
                writing.__exit__(type(error), error, error.__traceback__)
                raise
            # From here on a client that hangs up must not part the file from its row.
            row = UploadRow(_id(owner, key, sha256), owner, file, name, size, sha256)
            return await asyncio.shield(self._keep(writing, row))
        except OSError as error:
            raise StoreUnavailable(f"the upload cannot be written: {error.strerror}") from error

    async def _keep(self, writing: AbstractContextManager[BinaryIO], row: UploadRow) -> Upload:
        await asyncio.to_thread(writing.__exit__, None, None, None)
        now = self._clock.now()
        kept = None
        try:
            kept = await self._store.add_upload(row, now, now + UNUSED_MS, MAX_UNUSED)
        finally:
            if kept != row.file:  # it failed, or there was one with this key, or there are too many
                await asyncio.to_thread(self._files.remove, FOLDER, row.file)
        if kept is None:
            raise UploadsFull(f"{MAX_UNUSED} uploads wait for a task to use them; make the tasks, or wait a day")
        return Upload(row.id, self._folder / kept, row.name, row.size, row.sha256)

    async def drop(self, upload_id: str) -> None:
        """No task will use it after all; one that a task uses stays."""
        await self._store.drop_upload(upload_id)

    # --- finding

    async def find(self, upload_id: str, owner: str) -> Upload:
        """Raises UploadNotFound, for another owner's too."""
        row = await self._store.find_upload(upload_id, owner)
        if row is None:
            raise UploadNotFound(upload_id)
        return Upload(row.id, self._folder / row.file, row.name, row.size, row.sha256)

    # --- removing

    def look_around(self) -> None:
        """Note what is in the folder before anything is taken in: whatever of it has no row is from a crash."""
        self._leftover = self._files.names(FOLDER)

    async def run_once(self, now: int) -> float | None:
        """One bite of what is not needed any more; seconds to the next one, None when nothing is left."""
        expired = await self._store.expire_uploads(self._trust.to_forget(now), CHUNK)
        chunk, self._leftover = self._leftover[:CHUNK], self._leftover[CHUNK:]
        orphans = set(chunk) - await self._store.known_files(chunk) if chunk else set()
        if orphans:
            log.info("removing %d files that an interrupted upload left behind", len(orphans))
        for name in (*expired, *orphans):
            await asyncio.to_thread(self._files.remove, FOLDER, name)
        return 0.05 if len(expired) == CHUNK or self._leftover else None


async def _write_all(out: BinaryIO, pieces: AsyncIterator[bytes]) -> tuple[int, str]:
    """Size and SHA-256 of what was written."""
    digest = hashlib.sha256()
    size = 0
    pending = bytearray()

    def write() -> None:
        out.write(pending)
        digest.update(pending)

    async for piece in pieces:
        size += len(piece)
        pending += piece
        if len(pending) >= PIECE:
            await asyncio.to_thread(write)
            pending.clear()
    await asyncio.to_thread(write)
    return size, digest.hexdigest()


def _id(owner: str, key: str | None, sha256: str) -> str:
    if key is None:
        return secrets.token_hex(16)
    return hashlib.sha256(f"{owner}\n{key}\n{sha256}".encode()).hexdigest()[:32]
