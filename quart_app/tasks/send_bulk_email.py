"""`send-bulk-email`: sends the same mail to many recipients, each in a mail of its own.

Each recipient is a step, so a recorded recipient gets no second mail after a crash. One bad address does not stop the
others: a permanent refusal is recorded as an outcome. When the server does not take some recipients now, the task runs
again for them.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final

import msgspec

from quart_app.engine import NonRetryable, TaskContext, task
from quart_app.tasks.mail import Delayed, Mailer, Refused, Rejected
from quart_app.tasks.mail_text import Address, Line

MAX_RECIPIENTS: Final = 1000

Recipients = Annotated[
    list[Address],
    msgspec.Meta(min_length=1, max_length=MAX_RECIPIENTS, description="Each gets a mail of its own, once"),
]


@task("send-bulk-email", max_attempts=5, backoff=(2, 4, 300), timeout=3600)
async def send_bulk_email(ctx: TaskContext, recipients: Recipients, subject: Line, body: str) -> dict[str, Any]:
    """Send the same mail to each recipient; the result lists those who could not be reached."""
    wanted = list(dict.fromkeys(recipients))
    failed: list[dict[str, Any]] = []
    delayed: Delayed | None = None
    async with Mailer(ctx) as mailer:
        for number, to in enumerate(wanted, start=1):
            try:
                refusal = await ctx.step(f"{number} {to}"[:200], _send, mailer, ctx.task_id, to, subject, body)
            except (Delayed, Refused) as error:  # not recorded: it is not final for this recipient
                refusal = {"code": error.code, "message": error.said}
                delayed = error if isinstance(error, Delayed) else delayed
            if refusal is not None:
                failed.append({"to": to, **refusal})
            await ctx.progress(number, len(wanted), f"{number - len(failed)} sent, {len(failed)} not")
    if delayed is not None and ctx.attempt < ctx.max_attempts:
        raise delayed
    if len(failed) == len(wanted):
        to, *why = (str(part) for part in failed[0].values() if part is not None)
        raise NonRetryable(f"nobody of {len(wanted)} got it; {to}: {' '.join(why)}")
    return {"sent": len(wanted) - len(failed), "failed": failed}


async def _send(mailer: Mailer, task_id: str, to: str, subject: str, body: str) -> dict[str, Any] | None:
    """Send one mail. Returns None, or the refusal when this recipient will never get it. Raises Delayed, Refused."""
    try:
        mark = f"{task_id}.{hashlib.sha256(to.encode()).hexdigest()[:12]}"
        await mailer.send(mark, to, subject, body, mailing=task_id)
    except Rejected as error:
        return {"code": error.code, "message": error.said}
    return None
