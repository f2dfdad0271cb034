"""Kinds that take uploads, as a user would write them."""

from __future__ import annotations

import hashlib
from typing import Any

from quart_app import TaskContext, UploadId, task


@task("digest")
async def digest(ctx: TaskContext, upload_id: UploadId, other: UploadId | None = None) -> list[Any]:
    upload = await ctx.upload(upload_id)
    return [upload.name, upload.size, hashlib.sha256(upload.path.read_bytes()).hexdigest() == upload.sha256]


@task("digest-thread")
def digest_thread(ctx: Any, file: UploadId) -> str:
    return str(ctx.upload(file).sha256)


@task("digest-process", executor="process")
def digest_process(ctx: Any, file: UploadId) -> list[str]:
    upload = ctx.upload(file)
    ctx.files.write("digests", ctx.task_id, upload.path.read_bytes())
    return [upload.sha256, upload.path.name, ctx.files.life]


@task("anybodys", executor="process")
def anybodys(ctx: Any, file: str) -> str:
    return str(ctx.upload(file).name)
