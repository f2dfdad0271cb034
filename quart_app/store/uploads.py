"""The store of the uploads; SQL is in `<dialect>/uploads.sql`. `enqueue` writes a task's use of an upload."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from quart_app.core.arg_types import UploadRow
from quart_app.store.sqlite.database import Database
from quart_app.store.sqlite.transaction import Call


class SqlUploads:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def add_upload(self, row: UploadRow, now: int, expires_at: int, most: int) -> str | None:
        params = {**msgspec.structs.asdict(row), "now": now, "expires_at": expires_at, "most": most}
        (rows,) = await self._db.write([Call("add_upload", params=params)])
        return str(rows[0][0]) if rows else None

    async def drop_upload(self, upload_id: str) -> None:
        await self._db.write([Call("drop_upload", params={"id": upload_id})])

    async def expire_uploads(self, now: int, limit: int) -> list[str]:
        (rows,) = await self._db.write([Call("expire_uploads", params={"now": now, "limit": limit})])
        return [file for (file,) in rows]

    async def find_upload(self, upload_id: str, owner: str) -> UploadRow | None:
        rows = await self._db.read(self._db.text("find_upload"), {"id": upload_id, "owner": owner})
        return next((UploadRow(*row) for row in rows), None)

    async def known_files(self, files: Sequence[str]) -> set[str]:
        params = {"files": msgspec.json.encode(files).decode()}
        return {file for (file,) in await self._db.scan(self._db.text("known_files"), params)}
