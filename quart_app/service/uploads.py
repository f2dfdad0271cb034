"""Uploads: receives files piece by piece, finds them for the tasks of their owner, and removes unused ones."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Final

from quart_app.clock import Clock, Trust, WallTrust
from quart_app.core.arg_types import UploadRow
from quart_app.core.errors import StoreUnavailable, UploadNotFound, UploadsFull
from quart_app.engine.upload import Upload
from quart_app.process.files import Files
from quart_app.store.protocols.uploads import UploadStore

log = logging.getLogger("quart_app.uploads")

FOLDER: Final = "uploads"
UNUSED_MS: Final = 86_400_000  # an upload that no task uses is kept for a day
MAX_UNUSED: Final = 1000  # of one owner
PIECE: Final = 262_144  # bytes written at once; each write is a call to a thread
CHUNK: Final = 500  # files removed in one turn
_NAME: Final = re.compile(r"[0-9a-f]{32}")  # of a file here


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
        self.check_room: Callable[[], None] = lambda: None  # raises DiskLow

    # --- receiving

    async def receive(self, owner: str, name: str, pieces: AsyncIterator[bytes], key: str | None = None) -> Upload:
        """Write the pieces to disk and record them; both are durable when this returns. With a `key`, the same bytes of
        the same owner are the same upload. An error of `pieces` is raised, and nothing is left behind. Raises
        UploadsFull, DiskLow, StoreUnavailable."""
        self.check_room()
        file = secrets.token_hex(16)
        try:
            writing = self._files.writing(FOLDER, file)
            out = await asyncio.to_thread(writing.__enter__)
            try:
                size, sha256 = await _write_all(out, pieces)
            except BaseException as error:
                writing.__exit__(type(error), error, error.__traceback__)
                raise
            # From here on a client that hangs up must not leave a file without its row.
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
            if kept != row.file:  # it failed, or an upload of this key existed, or there are too many
                await asyncio.to_thread(self._files.remove, FOLDER, row.file)
        if kept is None:
            raise UploadsFull(f"{MAX_UNUSED} uploads wait for a task to use them; make the tasks, or wait a day")
        return Upload(row.id, self._folder / kept, row.name, row.size, row.sha256)

    async def drop(self, upload_id: str) -> None:
        """Let an upload expire that no task will use. It stays if a task uses it."""
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
        """List the files in the folder before any upload is received: those without a row were left by a crash. Foreign
        files are not listed."""
        names = self._files.names(FOLDER)
        self._leftover = [name for name in names if _NAME.fullmatch(name) or self._files.is_leftover(name)]

    async def run_once(self, now: int) -> float | None:
        """Remove one batch of unused files. Returns seconds to the next one, None when nothing is left."""
        expired = await self._store.expire_uploads(self._trust.to_forget(now), CHUNK)
        chunk, self._leftover = self._leftover[:CHUNK], self._leftover[CHUNK:]
        unknown = set(chunk) - await self._store.known_files(chunk) if chunk else set()
        orphans = await asyncio.to_thread(self._without_spared, unknown)
        if unknown - orphans:
            log.warning("%d files in %s are newer than the database and are kept", len(unknown - orphans), self._folder)
        if orphans:
            log.info("removing %d files that an interrupted upload left behind", len(orphans))
        for name in (*expired, *orphans):
            await asyncio.to_thread(self._files.remove, FOLDER, name)
        return 0.05 if len(expired) == CHUNK or self._leftover else None

    def _without_spared(self, names: set[str]) -> set[str]:
        return {name for name in names if not self._files.is_spared(FOLDER, name)}


async def _write_all(out: BinaryIO, pieces: AsyncIterator[bytes]) -> tuple[int, str]:
    """Write all pieces. Returns their size in bytes and SHA-256."""
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
