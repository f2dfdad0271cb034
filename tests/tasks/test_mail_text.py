"""Mails as they go over the wire: what somebody wrote is a text, wherever it stands, and never a line of the header."""

from __future__ import annotations

import base64
import email
import re
from email.header import decode_header, make_header

import pytest

from quart_app.tasks.mail_text import compose

NAMES = [
    b"From", b"To", b"Subject", b"Date", b"Message-ID", b"Content-Type", b"Content-Transfer-Encoding", b"MIME-Version",
]  # fmt: skip
BCC = base64.b64encode(b"\r\nBcc: victim@example.com\r\n\r\nanother body").decode()


def header(mail: bytes) -> list[bytes]:
    """The lines, unfolded."""
    return re.sub(rb"\r\n([ \t])", rb"\1", mail.partition(b"\r\n\r\n")[0]).split(b"\r\n")


@pytest.mark.parametrize(
    "subject",
    [
        "", " ", "plain", " a  b ", "s" * 998, "word " * 199, "Grüße 😀", "日本語" * 300, "a: b", "\x1b[31m\x07", "\tx",
        "=?utf-8?q?x?=", "=?utf-8?q?=0D=0ABcc:_victim@example.com?=", "=?utf-8?q?=0A?= x", f"=?utf-8?b?{BCC}?=",
        f"a =?utf-8?b?{BCC}?= =?utf-8?b?{BCC}?=", "=?", "?=", "\u202eevil", "é" + "x" * 990,
    ],
)  # fmt: skip
def test_a_subject_is_read_as_it_was_written_and_adds_no_line(subject: str) -> None:
    sent = compose("robot@mail.example", "id", "ann@example.com", subject, "body")
    lines = header(sent)
    assert [line.partition(b":")[0] for line in lines] == NAMES
    assert str(make_header(decode_header(email.message_from_bytes(sent)["Subject"]))) == subject
    assert sent.isascii()
    assert max(map(len, sent.split(b"\r\n"))) <= 78
    assert b"\n" not in sent.replace(b"\r\n", b"")


@pytest.mark.parametrize(
    "to",
    [
        "ann@example.com",
        "=?utf-8?q?a=2Cb?=@example.com",
        "=?utf-8?q?=0d=0aBcc:_x?=@example.com",
        "?.A0-^`${AZ*ZA=`=0Z}=$9AZ^@b9" + ".a--a" * 30,
        "a" * 64 + "@" + "b." * 90 + "example",
    ],
)
def test_an_address_is_written_as_it_is(to: str) -> None:
    """Python's own header would decode some of these, and break others in two."""
    sent = compose("robot@mail.example", "id.1", to, "Hello", "body")
    assert header(sent)[:2] == [b"From: robot@mail.example", f"To: {to}".encode()]
    assert b"Message-ID: <id.1@mail.example>" in header(sent)


def test_an_address_beyond_ascii_is_written_in_utf8() -> None:
    assert (
        header(compose("robot@mail.example", "id", "jörg@example.com", "x", "x"))[1] == "To: jörg@example.com".encode()
    )
