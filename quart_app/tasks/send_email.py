"""`send-email`: sends one mail over SMTP, or writes a file into the outbox when no server is set.

The Message-ID is made from the task's id: a mail that is sent twice because of a crash is recognized as the same one.
"""

from __future__ import annotations

from typing import Any

from quart_app.engine import TaskContext, task
from quart_app.tasks.mail import Mailer
from quart_app.tasks.mail_text import Address, Line


@task("send-email", max_attempts=5, backoff=(2, 4, 300), timeout=900)
async def send_email(ctx: TaskContext, to: Address, subject: Line, body: str) -> dict[str, Any]:
    """Send one mail over SMTP, or write it into the outbox when no server is set."""
    async with Mailer(ctx) as mailer:
        sent_at = await ctx.step("send", mailer.send, ctx.task_id, to, subject, body)
    return {"sent_to": to, "sent_at": sent_at, "subject": subject}
