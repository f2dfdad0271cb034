"""What a mail says, as it goes over the wire.

The lines of the header are written here and not by Python's EmailMessage: that decodes what looks like an encoded word
(RFC 2047) in an address or a subject, and some of its versions write the line ends that come out of it.
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

SEVEN_BIT: Final = SMTP.clone(cte_type="7bit")  # what every server takes, 8BITMIME or not
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
# Everything that Python takes for the end of a line.
Line = Annotated[
    str,
    msgspec.Meta(
        max_length=998,
        pattern="^[^\\x00\\r\\n\\x0b\\x0c\\x1c-\\x1e\\x85\u2028\u2029]*\\Z",
        description="One line",
        examples=["Your order"],
    ),
]


def compose(sender: str, mark: str, to: str, subject: str, body: str) -> bytes:
    """The whole mail. The addresses are those of the wire; one that is not ASCII stands in UTF-8 (RFC 6532), for a
    server that takes that."""
    header = {
        "From": sender,
        "To": to,
        "Subject": subject if _PLAIN.fullmatch(subject) else Header(subject, "utf-8", header_name="Subject").encode(),
        "Date": format_datetime(datetime.datetime.now(datetime.UTC)),
        "Message-ID": f"<{mark}@{sender.rpartition('@')[2]}>",
    }
    content = EmailMessage(policy=SEVEN_BIT)
    content.set_content(body)
    lines = "".join(f"{name}: {text}\n" for name, text in header.items())
    return lines.replace("\n", "\r\n").encode() + content.as_bytes()
