"""A mail server for tests: real SMTP, with TLS and login where a test wants them, which answers as it is told."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

smtp = pytest.importorskip("aiosmtpd.smtp", reason="MAIL IS NOT TESTED: pip install -r requirements-dev.txt")

PASSWORD = b"p@ss:word"


class Mailbox:
    """Keeps what it was sent. Each answer in `mail`, `rcpt` and `data` is given once, to whoever comes; those in
    `replies` are given to one address each time. Then everything is accepted. "hang up" and "silence" are answers too:
    to `data`, when the mail was taken."""

    def __init__(self, utf8: bool = False) -> None:
        self.utf8 = utf8
        self.mail: list[str] = []
        self.rcpt: list[str] = []
        self.data: list[str] = []
        self.replies: dict[str, list[str]] = {}
        self.mails: list[Any] = []
        self.tries = 0
        self.sessions: set[int] = set()
        self.encrypted: list[bool] = []
        self.login: tuple[bytes, bytes] | None = None
        self.port = 0

    @property
    def addressees(self) -> list[str]:
        return [mail.rcpt_tos[0] for mail in self.mails]

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if self.mail:
            return await self.answer(server, self.mail.pop(0))
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        self.tries += 1
        self.sessions.add(id(server))
        replies = self.replies.get(address) or self.rcpt
        if replies:
            return await self.answer(server, replies.pop(0))
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        reply = self.data.pop(0) if self.data else "250 OK"
        if not reply[0].isdigit() or reply.startswith("250"):
            self.mails.append(envelope)
            self.encrypted.append(session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None)
        return await self.answer(server, reply)

    async def answer(self, server: Any, reply: str) -> str:
        if reply == "hang up":
            server.transport.close()
        if reply == "silence":
            await asyncio.get_running_loop().create_future()  # until the client leaves
        return reply

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> Any:
        self.login = (data.login, data.password)
        return smtp.AuthResult(success=data.password == PASSWORD, handled=False)

    @asynccontextmanager
    async def serve(
        self, starttls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None
    ) -> AsyncIterator[str]:
        """The mailbox at `127.0.0.1:port`, in this loop. `starttls` offers TLS, `tls` begins with it."""

        def session() -> Any:
            made = smtp.SMTP(
                self,
                hostname="test",
                loop=asyncio.get_running_loop(),
                authenticator=self.authenticate,
                auth_require_tls=False,
                tls_context=starttls,
                enable_SMTPUTF8=self.utf8,
            )
            self.kept.append(made)  # so that no two sessions have one id
            return made

        self.kept: list[Any] = []
        server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield f"127.0.0.1:{self.port}"
        finally:
            server.close()
            await server.wait_closed()
