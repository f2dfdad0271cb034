"""`send-email`: one mail over SMTP, or a file in the outbox when no server is set.

The Message-ID is made from the task's id: a mail that a crash makes us send twice is recognized as the same one.
"""

from __future__ import annotations

import asyncio
import datetime
from email.message import EmailMessage
from email.policy import SMTP
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

import aiosmtplib
import msgspec

from quart_app.runner import NonRetryable, TaskContext, task
from quart_app.settings import Settings

Address = Annotated[
    str,
    msgspec.Meta(
        max_length=254,
        pattern=r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\Z",
        description="An e-mail address",
        examples=["ada@example.com"],
    ),
]
# Everything that Python's e-mail package takes for the end of a line would end the header.
Line = Annotated[
    str,
    msgspec.Meta(
        max_length=998,
        pattern="^[^\\x00\\r\\n\\x0b\\x0c\\x1c-\\x1e\\x85\u2028\u2029]*\\Z",
        description="One line",
        examples=["Your order"],
    ),
]


@task("send-email", max_attempts=5, backoff=(2, 4, 300), timeout=120)
async def send_email(ctx: TaskContext, to: Address, subject: Line, body: str) -> dict[str, Any]:
    """Send one mail over SMTP, or write it into the outbox when no server is set."""
    message = compose(ctx.settings, ctx.task_id, to, subject, body)
    sent_at = await ctx.step("send", deliver, ctx, message, to)
    return {"sent_to": to, "sent_at": sent_at, "subject": subject}


def compose(settings: Settings, message_id: str, to: str, subject: str, body: str) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"] = settings.mail_from
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = datetime.datetime.now(datetime.UTC)
    message["Message-ID"] = f"<{message_id}@{settings.mail_from.rpartition('@')[2]}>"
    message.set_content(body)
    return message


async def deliver(ctx: TaskContext, message: EmailMessage, to: str) -> str:
    """Hand the mail over and return when; a permanent refusal (5xx) is not worth another attempt."""
    url = ctx.settings.smtp_url
    if not url:
        await asyncio.to_thread(ctx.files.write, "outbox", f"{ctx.task_id}.eml", message.as_bytes())
        return _now()
    parts = urlsplit(url)
    try:
        await aiosmtplib.send(
            message,
            recipients=[to],
            hostname=parts.hostname,
            port=parts.port,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            use_tls=parts.scheme == "smtps",
            timeout=30,
        )
    except aiosmtplib.SMTPRecipientsRefused as error:
        if all(refused.code >= 500 for refused in error.recipients):
            raise NonRetryable(f"{to} was refused: {error.recipients[0].code} {error.recipients[0].message}") from error
        raise
    except aiosmtplib.SMTPResponseException as error:
        if error.code >= 500:
            raise NonRetryable(f"the mail was refused: {error.code} {error.message}") from error
        raise
    return _now()


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
