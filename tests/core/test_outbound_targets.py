"""Which addresses are public, the same on every version of Python. Nothing is connected to here."""

from __future__ import annotations

import ipaddress

import pytest

from quart_app.core import outbound_targets

# Networks of the registries of special addresses (IANA), and addresses of clouds' own: none is public.
INNER_4 = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "100.100.100.200/32", "127.0.0.0/8", "168.63.129.16/32",
    "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.0.9/32", "192.0.0.10/32", "192.0.0.192/32",
    "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32",
]  # fmt: skip
INNER_6 = [
    "::/96", "::1/128", "::ffff:0:0:0/96", "64:ff9b:1::/48", "100::/64", "2001::/32", "2001:1::1/128",
    "2001:2::/48", "2001:3::/32", "2001:4:112::/48", "2001:10::/28", "2001:20::/28", "2001:30::/28",
    "2001:db8::/32", "3fff::/20", "5f00::/16", "fc00::/7", "fd00:ec2::254/128", "fe80::/10", "fec0::/10",
    "ff00::/8",
]  # fmt: skip
OUTER_4 = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "168.63.129.15",
    "168.63.129.17", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.3.0", "192.88.98.255",
    "192.88.100.0", "192.167.255.255", "198.17.255.255", "198.20.0.0", "223.255.255.255",
]  # fmt: skip
OUTER_6 = [
    "2000::",
    "2001:200::",
    "2001:4860:4860::8888",
    "2606:2800:220:1:248:1893:25c8:1946",
    "3ffe:ffff::",
    "3fff:1000::",
]

# How an IPv4 address can be wrapped in an IPv6 one.
WRAPPED = {
    "mapped": lambda last: 0xFFFF << 32 | last,
    "NAT64": lambda last: 0x64FF9B << 96 | last,
    "6to4": lambda last: 0x2002 << 112 | last << 80 | 1,
    "ISATAP": lambda last: 0x26062800 << 96 | 0x5EFE << 32 | last,
    "ISATAP, global": lambda last: 0x26062800 << 96 | 0x2005EFE << 32 | last,
}


@pytest.mark.parametrize("network", INNER_4 + INNER_6)
def test_what_is_reserved_for_something_is_not_public(network: str) -> None:
    whole = ipaddress.ip_network(network)
    for address in (whole[0], whole[whole.num_addresses // 2], whole[-1]):
        assert not outbound_targets.is_public(str(address)), address


@pytest.mark.parametrize("address", OUTER_4 + OUTER_6)
def test_what_stands_beside_it_is_public(address: str) -> None:
    assert outbound_targets.is_public(address)


@pytest.mark.parametrize("form", WRAPPED)
def test_an_address_that_wraps_another_is_as_public_as_that(form: str) -> None:
    def wrapped(address: ipaddress.IPv4Address) -> str:
        return str(ipaddress.IPv6Address(WRAPPED[form](int(address))))

    for network in map(ipaddress.IPv4Network, INNER_4):
        for address in (network[0], network[-1]):
            assert not outbound_targets.is_public(wrapped(address)), wrapped(address)
    for text in OUTER_4:
        assert outbound_targets.is_public(wrapped(ipaddress.IPv4Address(text))), text


def test_nothing_depends_on_what_this_python_takes_for_global(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (ipaddress.IPv4Address, ipaddress.IPv6Address):
        for name in ("is_global", "is_private", "is_reserved", "is_multicast"):
            monkeypatch.setattr(kind, name, property(lambda self: self.missing))
    assert outbound_targets.is_public("1.1.1.1") and outbound_targets.is_public("2606:2800::1")
    assert not outbound_targets.is_public("10.0.0.1") and not outbound_targets.is_public("fe80::1")


@pytest.mark.parametrize("text", ["", "localhost", "1.1.1", "0x1010101", "1.1.1.1.", "1.1.1.01", "[::1]"])
def test_what_is_no_address_is_not_public(text: str) -> None:
    assert not outbound_targets.is_public(text)
