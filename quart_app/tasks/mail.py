"""Sends mail for the built-in kinds: over SMTP, or as a file in the outbox when no server is set."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Final

import aiosmtplib

from quart_app.core import artifacts, codec
from quart_app.core.mail import mail_server, on_the_wire
from quart_app.engine import NonRetryable, Retry, TaskContext
from quart_app.tasks.mail_text import compose

TIMEOUT: Final = 30.0  # seconds for one answer of the server
# Seconds for the answer to a mail. A client that gives up earlier sends a mail again that was taken (RFC 5321,
# 4.5.3.2.6).
TAKING: Final = 600.0
MAX_SILENCES: Final = 3  # mails in a row without an answer that can be understood; then the server counts as down
MAX_REPEATED: Final = 4096  # characters; a longer body is written once for a whole mailing, not into each of its files


class Refused(NonRetryable):
    """The server takes no mail of this service (5xx), or the service sends it none (then `code` is None)."""

    def __init__(self, code: int | None, said: str) -> None:
        self.code = code
        self.said = codec.clean(" ".join(said.split()), 300)
        super().__init__(self.said if code is None else f"{code} {self.said}")


class Rejected(Refused):
    """The server will never take this mail for this recipient."""


class Delayed(Retry):
    """The server does not take the mail now: it answered 4xx, or nothing that can be understood (then `code` is
    None)."""

    def __init__(self, code: int | None, said: str) -> None:
        self.code = code
        self.said = codec.clean(" ".join(said.split()), 300)
        super().__init__(self.said if code is None else f"{code} {self.said}")


class Mailer:
    """Sends the mails of one run, over one connection for as long as it lasts. Use it with `async with`.

    With `smtp://` it switches to TLS when the server offers that (RFC 3207). With `smtp://` and `smtps://` it checks
    the certificate against the system's authorities (or those of SSL_CERT_FILE).
    """

    def __init__(self, ctx: TaskContext) -> None:
        self._ctx = ctx
        self._sender = on_the_wire(ctx.settings.mail_from)
        self._down: Refused | Delayed | None = None
        self._silences = 0
        self._kept: set[str] = set()
        self._server = mail_server(ctx.settings.smtp_url) if ctx.settings.smtp_url else None
        self._client: aiosmtplib.SMTP | None = None
        if self._server is not None:
            self._client = aiosmtplib.SMTP(
                hostname=self._server.host, port=self._server.port, use_tls=self._server.tls, timeout=TIMEOUT
            )

    async def __aenter__(self) -> Mailer:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is None or not self._client.is_connected:
            return
        if error is None or isinstance(error, Exception):  # a cancelled run has no time to send QUIT
            with suppress(aiosmtplib.SMTPException, OSError):
                await self._client.quit()
        self._client.close()

    async def send(self, mark: str, to: str, subject: str, body: str, mailing: str | None = None) -> str:
        """Hand one mail over; returns the time (RFC 3339). `mark` identifies the mail, whenever it is sent: the
        Message-ID is made of it, so that a mail that is sent twice is recognized. `mailing`: the id of the task, when
        the other mails of the run have the same body. Raises Rejected, Refused, Delayed."""
        try:
            to = on_the_wire(to)
        except ValueError as error:
            raise Rejected(None, str(error)) from None
        # In a thread: encoding a long body takes time.
        elsewhere = await self._keep(mailing, body) if mailing is not None else None
        content = await asyncio.to_thread(compose, self._sender, mark, to, subject, body, elsewhere)
        if self._client is None:
            await asyncio.to_thread(self._ctx.files.write, artifacts.OUTBOX, f"{mark}.eml", content)
        else:
            await self._hand_over(self._client, to, content)
        return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    async def _keep(self, mailing: str, body: str) -> str | None:
        """Write the body into one file of the outbox for all mails and return its name: a thousand copies fill a disk.
        Returns None when each mail has the body: over SMTP, or when the body is short."""
        if self._client is not None or len(body) <= MAX_REPEATED:
            return None
        name = artifacts.body_name(mailing)
        if name not in self._kept:
            await asyncio.to_thread(self._ctx.files.write, artifacts.OUTBOX, name, body.encode())
            self._kept.add(name)
        return name

    async def _hand_over(self, client: aiosmtplib.SMTP, to: str, content: bytes) -> None:
        await self._open(client)
        options = _options(client, self._sender + to)
        try:
            with _told_apart():
                await client.mail(self._sender, options=options, encoding="utf-8")
                await client.rcpt(to, encoding="utf-8")
                await client.data(content, timeout=TAKING)
        except (Refused, Delayed) as error:
            self._silences = self._silences + 1 if isinstance(error, Delayed) and error.code is None else 0
            if self._silences == MAX_SILENCES:
                self._down = error
            if error.code in (None, 421):  # RFC 5321, 3.8: the server closes the channel
                client.close()
            else:
                with suppress(aiosmtplib.SMTPException, OSError):
                    await client.rset()
            raise
        self._silences = 0

    async def _open(self, client: aiosmtplib.SMTP) -> None:
        """Connect and log in, unless the client is connected. After one failure in a run it is not tried again: a
        server that is down now is down for the next thousand recipients too. Raises Refused, Delayed."""
        if self._down is not None:
            raise self._down.with_traceback(None)
        if client.is_connected:
            return
        try:
            with _told_apart():
                await client.connect()
                await self._log_in(client)
        except (Refused, Delayed) as error:
            client.close()
            self._down = error
            raise

    async def _log_in(self, client: aiosmtplib.SMTP) -> None:
        server = self._server
        if server is None or server.user is None or server.password is None:
            return
        if client.get_transport_info("sslcontext") is None and not server.is_here:
            raise Refused(
                None, f"{server.host} offers no TLS, so it is not sent the password; use smtps://, or a server with it"
            )
        await client.login(server.user, server.password)


def _options(client: aiosmtplib.SMTP, addresses: str) -> list[str]:
    if addresses.isascii():
        return []
    if not client.supports_extension("smtputf8"):
        raise Rejected(None, "the server takes only addresses in ASCII (it has no SMTPUTF8)")
    return ["SMTPUTF8"]


@contextmanager
def _told_apart() -> Iterator[None]:
    """Turn the errors of a conversation with the server into Rejected, Refused or Delayed."""
    try:
        yield
    except aiosmtplib.SMTPResponseException as error:
        if error.code >= 500:
            personal = isinstance(error, aiosmtplib.SMTPRecipientRefused | aiosmtplib.SMTPDataError)
            raise (Rejected if personal else Refused)(error.code, error.message) from error
        raise Delayed(error.code if error.code >= 400 else None, error.message) from error
    except OSError as error:  # aiosmtplib's errors for lost connections and timeouts are OSErrors too
        raise Delayed(None, f"{type(error).__name__}: {error}") from error
    except aiosmtplib.SMTPException as error:  # the server lacks what is needed
        raise Refused(None, str(error)) from error
