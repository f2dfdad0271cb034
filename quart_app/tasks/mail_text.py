"""Composes the bytes of a mail.

The lines of the header are written here and not by Python's EmailMessage. EmailMessage decodes what looks like an
encoded word (RFC 2047) in an address or a subject, and some versions write the line ends that result from that.
"""

from __future__ import annotations

import datetime
import re
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Annotated, Final

import msgspec

from quart_app.core import mail

SEVEN_BIT: Final = SMTP.clone(cte_type="7bit")  # every server takes it, with or without 8BITMIME
_PLAIN: Final = re.compile(r"(?!.*=\?)[!-~](?:[ -~]{0,66}[!-~])?")  # a subject that needs no encoding, on one line

Address = Annotated[
    str,
    msgspec.Meta(
        max_length=mail.MAX_ADDRESS,
        pattern=mail.PATTERN,
        description="An e-mail address",
        examples=["ada@example.com"],
    ),
]
# The pattern excludes NUL and every character that Python treats as the end of a line.
Line = Annotated[
    str,
    msgspec.Meta(
        max_length=998,
        pattern="^[^\\x00\\r\\n\\x0b\\x0c\\x1c-\\x1e\\x85\u2028\u2029]*\\Z",
        description="One line",
        examples=["Your order"],
    ),
]


def compose(sender: str, mark: str, to: str, subject: str, body: str, elsewhere: str | None = None) -> bytes:
    """The bytes of the whole mail. The addresses are as SMTP sends them (`core.mail.on_the_wire`). One that is not
    ASCII is in UTF-8 (RFC 6532), for a server that takes that. `elsewhere`: the name of the file beside the mail that
    has the body, in UTF-8 (RFC 2046, 5.2.3)."""
    message_id = f"<{mark}@{sender.rpartition('@')[2]}>"
    header = {
        "From": sender,
        "To": to,
        "Subject": subject if _PLAIN.fullmatch(subject) else Header(subject, "utf-8", header_name="Subject").encode(),
        "Date": format_datetime(datetime.datetime.now(datetime.UTC)),
        "Message-ID": message_id,
    }
    lines = "".join(f"{name}: {text}\n" for name, text in header.items())
    if elsewhere is not None:
        lines += (
            "MIME-Version: 1.0\n"
            f'Content-Type: message/external-body; access-type=local-file; name="{elsewhere}"\n\n'
            f'Content-Type: text/plain; charset="utf-8"\nContent-ID: {message_id}\n\n'
        )
    content = lines.replace("\n", "\r\n").encode()
    if elsewhere is None:
        text = EmailMessage(policy=SEVEN_BIT)
        text.set_content(body)
        content += text.as_bytes()
    return content
