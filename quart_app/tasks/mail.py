"""Mail, for the kinds that send some: over SMTP, or as a file in the outbox when no server is set."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.policy import SMTP
from types import TracebackType
from typing import Annotated, Any, Final
from urllib.parse import unquote, urlsplit

import aiosmtplib
import msgspec

from quart_app.core import codec
from quart_app.runner import NonRetryable, Retry, TaskContext

TIMEOUT: Final = 30.0  # seconds for one answer of the server
SEVEN_BIT: Final = SMTP.clone(cte_type="7bit")  # what every server takes, 8BITMIME or not

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


class Refused(NonRetryable):
    """The server will never take it (5xx). `code` is the server's; the text is `CODE what it said`."""

    def __init__(self, code: int, said: str) -> None:
        self.code = code
        self.said = codec.clean(" ".join(said.split()), 300)
        super().__init__(f"{code} {self.said}")


class Delayed(Retry):
    """Not now: an answer of 4xx, or no answer at all (then `code` is None)."""

    def __init__(self, code: int | None, said: str) -> None:
        self.code = code
        self.said = codec.clean(" ".join(said.split()), 300)
        super().__init__(self.said if code is None else f"{code} {self.said}")


class Mailer:
    """Sends the mails of one run, over one connection for as long as that lasts. Use it with `async with`."""

    def __init__(self, ctx: TaskContext) -> None:
        self._ctx = ctx
        self._sender = ctx.settings.mail_from
        url = urlsplit(ctx.settings.smtp_url)
        self._client: aiosmtplib.SMTP | None = None
        self._down: Refused | Delayed | None = None
        if ctx.settings.smtp_url:
            # With `smtp://` it goes over to TLS where the server offers that (RFC 3207), and checks the certificate
            # against the system's authorities (or those of SSL_CERT_FILE) in both cases.
            self._client = aiosmtplib.SMTP(
                hostname=url.hostname,
                port=url.port,
                username=unquote(url.username) if url.username else None,
                password=unquote(url.password) if url.password else None,
                use_tls=url.scheme == "smtps",
                timeout=TIMEOUT,
            )

    async def __aenter__(self) -> Mailer:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is None or not self._client.is_connected:
            return
        if error is None or isinstance(error, Exception):  # a run that is cancelled has no time for a good-bye
            try:
                await self._client.quit()
            except (aiosmtplib.SMTPException, OSError):
                pass
        self._client.close()

    async def open(self) -> None:
        """Connect and log in, if that is still to be done. Tried once a run: a server that is down now will be down
        for the next thousand recipients too. Raises Refused, Delayed."""
        if self._client is None or self._client.is_connected:
            return
        if self._down is not None:
            raise self._down
        try:
            with _told_apart():
                await self._client.connect()
        except (Refused, Delayed) as error:
            self._down = error
            raise

    async def send(self, mark: str, to: str, subject: str, body: str) -> str:
        """Hand one mail over; when (RFC 3339). `mark` tells this mail from all others, whenever it is sent: the
        Message-ID is made of it, so that one that is sent twice is recognized. Raises Refused, Delayed."""
        # In a thread: a long body takes its time to encode.
        content = await asyncio.to_thread(compose, self._sender, mark, to, subject, body)
        if self._client is None:
            await asyncio.to_thread(self._ctx.files.write, "outbox", f"{mark}.eml", content)
            return _now()
        await self.open()
        try:
            with _told_apart():
                await self._client.sendmail(self._sender, [to], content)
        except Delayed as error:
            if error.code == 421:  # RFC 5321, 3.8: the server closes the channel
                self._client.close()
            raise
        return _now()


def compose(sender: str, mark: str, to: str, subject: str, body: str) -> bytes:
    message = EmailMessage(policy=SEVEN_BIT)
    message["From"] = sender
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = datetime.datetime.now(datetime.UTC)
    message["Message-ID"] = f"<{mark}@{sender.rpartition('@')[2]}>"
    message.set_content(body)
    return message.as_bytes()


@contextmanager
def _told_apart() -> Iterator[None]:
    """What can go wrong with a server, as Refused or Delayed."""
    try:
        yield
    except aiosmtplib.SMTPRecipientsRefused as error:
        raise _answered(error.recipients[0]) from error
    except aiosmtplib.SMTPResponseException as error:
        raise _answered(error) from error
    except (aiosmtplib.SMTPException, OSError) as error:
        raise Delayed(None, f"{type(error).__name__}: {error}") from error


def _answered(error: Any) -> Refused | Delayed:
    return Refused(error.code, error.message) if error.code >= 500 else Delayed(error.code, error.message)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
