"""Addresses of mail, and of the servers that take it."""

from __future__ import annotations

import pytest

from quart_app.core import mail


@pytest.mark.parametrize(
    "address", ["a@b", "first.last+tag@mail.example.com", "o'brien@x-y.example", "a" * 64 + "@" + "b" * 63 + ".example"]
)
def test_an_address_goes_as_it_is(address: str) -> None:
    assert mail.on_the_wire(address) == address


@pytest.mark.parametrize(
    ("address", "wire"),
    [
        ("jo@bücher.example", "jo@xn--bcher-kva.example"),
        ("JO@BÜCHER.example", "JO@xn--bcher-kva.example"),
        ("jörg@example.com", "jörg@example.com"),
        ("jo\u0308rg@example.com", "jörg@example.com"),
        ("用户@例子.测试", "用户@xn--fsqu00a.xn--0zwm56d"),
        ("משה@דוגמה.example", "משה@xn--6dbbec0c.example"),
    ],
)
def test_a_domain_of_any_script_goes_as_the_name_system_knows_it(address: str, wire: str) -> None:
    assert mail.on_the_wire(address) == wire


@pytest.mark.parametrize(
    "address",
    [
        "", "a", "a@", "@b", "a@b@c", "a b@c", "a@b,c@d", "a@b\n", "a@b\r\nBcc: c@d", "a\x00@b", "<a@b>", '"a"@b',
        "a(x)@b", ".a@b", "a.@b", "a..b@c", "a@.b", "a@b.", "a@b..c", "a@-b", "a@b-", "a@[127.0.0.1]", "a@b_c",
        "a@b:25", "a" * 65 + "@b", "a@" + "b" * 64, "a@" + "b." * 130 + "c", "a\u00a0b@c", "a\u2028@b", "a@b\u3002c",
        "a\u202e@b", "a\u200b@b", "a@\uff42", "😀@b", "a@☃.example\u2024", "=?utf-8?q?x?= <a@b>",
    ],
)  # fmt: skip
def test_anything_else_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match="no mail address"):
        mail.on_the_wire(address)


@pytest.mark.parametrize("domain", ["☃.example", "\u0378.example", "א1a.example", "é" * 63])
def test_a_name_that_nobody_can_have_is_no_domain(domain: str) -> None:
    with pytest.raises(ValueError, match="no domain name"):
        mail.on_the_wire(f"a@{domain}")


def test_a_servers_url_says_how_it_is_reached() -> None:
    found = mail.mail_server("smtps://us%40er:p%3A%2F%3F@Mail.example:465/")
    assert (found.host, found.port, found.tls) == ("mail.example", 465, True)
    assert (found.user, found.password) == ("us@er", "p:/?")
    found = mail.mail_server("smtp://mail")
    assert (found.host, found.port, found.tls, found.user, found.password) == ("mail", None, False, None, None)


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost", True), ("127.0.0.1", True), ("127.1.2.3", True), ("[::1]", True),
        ("localhost.example", False), ("0.0.0.0", False), ("10.0.0.1", False), ("[fe80::1]", False), ("mail", False),
    ],
)  # fmt: skip
def test_what_is_sent_to_this_machine_does_not_leave_it(host: str, here: bool) -> None:
    assert mail.mail_server(f"smtp://{host}:25").is_here is here


@pytest.mark.parametrize(
    "url",
    [
        "http://u:opensesame@mail", "smtp://", "smtp://:25", "smtp:mail", "smtp://u:opensesame@", "smtp://u:open#sesame@mail",
        "smtp://u:open/sesame@mail", "smtp://u:open?sesame@mail", "smtp://u:opensesame@mail:x", "smtp://u:opensesame@mail:0",
        "smtp://u:opensesame@mail:65536", "smtp://u:opensesame@mail/?tls=no", "smtp://opensesame@mail",
        "smtp://:opensesame@mail", "smtp://u:open sesame@mail", "smtp://u:opensesame@[mail", "smtp://u:opensesame@ma\uff0fil",
    ],
)  # fmt: skip
def test_an_error_in_a_url_does_not_repeat_the_password(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        mail.mail_server(url)
    assert "sesame" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
