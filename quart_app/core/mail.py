"""Mail addresses, and the URL of the mail server."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec

# Letters of all scripts (RFC 6531), without characters that are invisible or look like a blank or a dot.
BEYOND: Final = "\u00a1-\u1fff\u2070-\u2fff\u3003-\ud7ff\uf900-\ufaff"
_ATOM: Final = rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~{BEYOND}-]+"
_LABEL: Final = rf"[A-Za-z0-9{BEYOND}](?:[A-Za-z0-9{BEYOND}-]{{0,61}}[A-Za-z0-9{BEYOND}])?"
PATTERN: Final = rf"^(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*\Z"
"""An address without quoted parts and comments: RFC 5321, 4.1.2, `Dot-string "@" Domain`."""
MAX_ADDRESS: Final = 254  # RFC 5321, 4.5.3.1.3, with its two brackets

_ADDRESS: Final = re.compile(PATTERN)


def on_the_wire(address: str) -> str:
    """The address with its domain in the form of the DNS (RFC 5891). Only the part before the @ may still have other
    characters than ASCII. Raises ValueError for a text that is no address."""
    if len(address) > MAX_ADDRESS or not _ADDRESS.fullmatch(address):
        raise ValueError("no mail address")
    local, _, domain = address.rpartition("@")
    if not domain.isascii():
        import idna  # its tables are large, and few callers need them

        try:
            domain = idna.encode(domain, uts46=True, std3_rules=True).decode()
        except idna.IDNAError as error:
            raise ValueError(f"no domain name: {error}") from None
    return f"{unicodedata.normalize('NFC', local)}@{domain}"


class MailServer(msgspec.Struct, frozen=True, kw_only=True):
    """The server that takes mail. `tls`: TLS from the first byte; without it, TLS when the server offers it."""

    host: str
    port: int | None
    tls: bool
    user: str | None
    password: str | None

    @property
    def is_here(self) -> bool:
        """Whether the server is on this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def mail_server(url: str) -> MailServer:
    """`smtp://host:port`, `smtps://user:password@host`. Raises ValueError, which does not repeat the URL: it may hold a
    password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("is no URL") from None
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ValueError("must be smtp://HOST:PORT or smtps://USER:PASSWORD@HOST:PORT")
    if parts.path not in ("", "/") or parts.query or parts.fragment or re.search(r"[\s\x00-\x1f]", url):
        raise ValueError("ends after the port; write / ? # @ : and blanks in a user or password as %2F %3F …")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("the port is a number from 1 to 65535; write a : in a password as %3A")
    if bool(parts.username) != bool(parts.password):
        raise ValueError("needs a user and a password, or neither")
    return MailServer(
        host=parts.hostname,
        port=port,
        tls=parts.scheme == "smtps",
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )
