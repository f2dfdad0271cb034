"""Where requests on somebody's behalf may go: nothing of this machine and its networks, whatever it is called.

The listener is real and on loopback. Names are answered by a stand-in for getaddrinfo, the one boundary that cannot be
had without asking a name server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from quart_app.core import outbound_targets
from quart_app.core.outbound_targets import TargetRefused
from quart_app.process import http_clients
from tests.web.site import Site, assert_problem

PORT = "{port}"  # the listener's

# What is refused for what it is, with the listener's port counted among the web's.
REFUSED = [
    # this machine, in every spelling
    "http://127.0.0.1:{port}/", "http://127.1:{port}/", "http://127.0.1:{port}/", "http://127.255.255.254:{port}/",
    "http://0x7f000001:{port}/", "http://0x7f.0.0.1:{port}/", "http://0X7F.0.0.0X1:{port}/", "http://2130706433:{port}/",
    "http://017700000001:{port}/", "http://0177.0.0.1:{port}/", "http://127.0.0.01:{port}/", "http://127.0.0.1.:{port}/",
    "http://0.0.0.0:{port}/", "http://0:{port}/", "http://[::1]:{port}/", "http://[::]:{port}/",
    "http://[0:0:0:0:0:0:0:1]:{port}/", "http://localhost:{port}/", "http://LOCALHOST:{port}/", "http://localhost.:{port}/",
    "http://a.localhost:{port}/", "http://localhost.localdomain:{port}/",
    # the same, wrapped in IPv6
    "http://[::ffff:127.0.0.1]:{port}/", "http://[::ffff:7f00:1]:{port}/", "http://[::127.0.0.1]:{port}/",
    "http://[64:ff9b::127.0.0.1]:{port}/", "http://[64:ff9b::7f00:1]:{port}/", "http://[64:ff9b:1::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/", "http://[2001:0:7f00:1::]:{port}/", "http://[::ffff:0:127.0.0.1]:{port}/",
    # networks nearby, and clouds' metadata
    "http://10.0.0.1/", "http://172.16.0.1/", "http://192.168.1.1/", "http://169.254.169.254/latest/meta-data/",
    "http://[fe80::1]/", "http://[fc00::1]/", "http://[fd00:ec2::254]/", "http://[fec0::1]/", "http://100.64.0.1/",
    "http://[::ffff:169.254.169.254]/", "http://[64:ff9b::a9fe:a9fe]/", "http://[2002:a9fe:a9fe::]/", "http://192.0.2.1/",
    "http://198.18.0.1/", "http://224.0.0.1/", "http://240.0.0.1/", "http://255.255.255.255/", "http://[ff02::1]/",
    "http://[2001:db8::1]/", "http://metadata.google.internal/", "http://printer.local/", "http://router.lan/", "http://intranet/",
    # what two readers could read differently
    "http://user@127.0.0.1:{port}/", "http://example.com@127.0.0.1:{port}/", "http://user:pw@example.com/",
    "http://127.0.0.1:{port}\\@example.com/", "http:\\\\127.0.0.1:{port}/", "http:/127.0.0.1:{port}/",
    "http:127.0.0.1:{port}/", "http://127.0.0.1:{port}#@example.com/", "http://[::1%25lo]:{port}/", "http://127.0.0.1%00.example.com/",
    "http://127.0.0.1 .example.com/",
    "http://exam\nple.com/", "http://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3:{port}/",
    "http://\u2460\u2461\u2466.0.0.1:{port}/", "http://127\u30020\u30020\u30021:{port}/",
    "http://example.com\u3002evil/", "http:///x", "http://",
    # other ports and schemes
    "http://example.com:22/", "https://example.com:6379/", "http://example.com:0/", "http://example.com:65536/",
    "file:///etc/passwd", "gopher://127.0.0.1:{port}/_x", "unix:///run/x.sock", "ftp://example.com/", "//example.com/",
    "javascript:alert(1)", "http+unix://%2Frun%2Fx/", " http://127.0.0.1:{port}/", "http://" + "a" * 2000 + ".example/",
]  # fmt: skip


class Listener:
    def __init__(self) -> None:
        self.connections = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=b\r\nConnection: close\r\n\r\nhi")
        await writer.drain()
        writer.close()


@pytest.fixture
async def listener(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Listener, int]]:
    """On every loopback address there is; its port counts as one of the web's."""
    found = Listener()
    server = await asyncio.start_server(found.connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setitem(outbound_targets.PORTS, "of this test", port)
    async with server:
        yield found, port


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """`asked = resolve(*answers)`: each question for a name gets the next answer, a list of addresses."""

    def stand_in(*answers: list[str]) -> list[str]:
        asked: list[str] = []

        def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
            asked.append(host)
            given = answers[min(len(asked), len(answers)) - 1]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in given]

        monkeypatch.setattr(http_clients.socket, "getaddrinfo", getaddrinfo)
        return asked

    return stand_in


async def test_nothing_inside_is_reached_at_create_or_at_connect(
    site: Site, listener: tuple[Listener, int], resolve: Callable[..., list[str]]
) -> None:
    found, port = listener
    resolve(["127.0.0.1"])
    reached = []
    async with http_clients.client(allow_private=False) as client:
        for template in REFUSED:
            url = template.replace(PORT, str(port))
            assert_problem(await site.post("/tasks/crawl", {"url": url}), 422, "/url")
            try:
                await client.get(url)
                reached.append(url)
            except (TargetRefused, httpx.InvalidURL, httpx.UnsupportedProtocol):
                pass
    assert (reached, found.connections) == ([], 0)
    assert await site.total() == 0


async def test_the_listener_is_reached_where_private_targets_are_allowed(listener: tuple[Listener, int]) -> None:
    found, port = listener
    async with http_clients.client(allow_private=True) as client:
        assert (await client.get(f"http://127.0.0.1:{port}/")).text == "hi"
        assert list(client.cookies.jar) == []
    assert found.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        ["127.0.0.1"],
        ["10.1.2.3"],
        ["169.254.169.254"],
        ["93.184.216.34", "127.0.0.1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["fe80::1%lo"],
    ],
)
async def test_a_name_that_points_inside_is_refused_at_connect(
    listener: tuple[Listener, int], resolve: Callable[..., list[str]], answer: list[str]
) -> None:
    found, port = listener
    resolve(answer)
    async with http_clients.client(allow_private=False) as client:
        with pytest.raises(TargetRefused, match=r"no public address$"):
            await client.get(f"http://inside.example:{port}/")
    assert found.connections == 0


async def test_a_name_is_asked_for_once_for_a_connection(
    listener: tuple[Listener, int], resolve: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the first answer is checked, the second would point inside. The listener's own address stands for
    a public one here."""
    found, port = listener
    asked = resolve(["127.0.0.1"], ["127.0.0.2"])
    monkeypatch.setattr(outbound_targets, "is_public", lambda address: address == "127.0.0.1")
    async with http_clients.client(allow_private=False) as client:
        assert (await client.get(f"http://rebinding.example:{port}/")).text == "hi"
        with pytest.raises(TargetRefused):
            await client.get(f"http://rebinding.example:{port}/")
    assert (asked, found.connections) == (["rebinding.example"] * 2, 1)


async def test_a_name_without_an_address_is_an_ordinary_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(http_clients.socket, "getaddrinfo", fail)
    async with http_clients.client(allow_private=False) as client:
        with pytest.raises(httpx.ConnectError, match="has no address"):
            await client.get("http://nowhere.example/")


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "https://example.com/a?b=c#d",
        "HTTPS://EXAMPLE.COM:443/",
        "http://example.com:80/%20",
        "http://xn--bcher-kva.example.com/",
        "http://93.184.216.34/",
        "http://[2606:2800:220:1:248:1893:25c8:1946]/",
        "http://[64:ff9b::5db8:d822]/",
        "https://a_b.example.com./",
        "https://1and1.com/",
    ],
)
def test_public_urls_are_taken(url: str) -> None:
    outbound_targets.check(url)


def test_one_site_is_one_host_and_port() -> None:
    assert (
        outbound_targets.site("http://Example.com/")
        == outbound_targets.site("https://example.com.:443/x")
        == "example.com"
    )
    assert outbound_targets.site("http://example.com:8080/") == "example.com:8080"
