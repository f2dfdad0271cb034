"""The proxies of the folder `deploy`, really started with the configuration that lies there."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path

import httpx
import pytest

from benchmarks.ports import free_port
from tests.acceptance.harness import DEADLINE, ROOT, until
from tests.deploy.certificates import Certificate

NAME = "127.0.0.1"  # in place of tasks.example.com


class Front(ABC):
    """One proxy on free ports with TLS, before a service on `upstream`."""

    def __init__(self, folder: Path, certificate: Certificate, upstream: int) -> None:
        self.folder = folder
        self.port, self.plain_port = free_port(), free_port()
        self.url = f"https://{NAME}:{self.port}"
        self.certificate = certificate
        self._upstream = upstream
        self._process: subprocess.Popen[bytes] | None = None

    def client(self, http2: bool = False, address: str = "127.0.0.2") -> httpx.Client:
        """A client whose address is another one than that of the proxy."""
        transport = httpx.HTTPTransport(
            verify=self.certificate.client(), http2=http2, local_address=address, trust_env=False
        )
        return httpx.Client(base_url=self.url, transport=transport, timeout=DEADLINE, trust_env=False)

    def connect(self) -> ssl.SSLSocket:
        """For requests that no client would send."""
        return self.certificate.connect(self.port)

    def ask(self, method: str, path: str, headers: str = "") -> bytes:
        """The whole answer to a request whose target is sent as it is."""
        with self.connect() as opened:
            opened.sendall(f"{method} {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n{headers}\r\n".encode())
            return read_until(opened, b"")

    def start(self) -> None:
        with (self.folder / "front.log").open("wb") as log:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self.folder,
                env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until(self._listens, "the proxy")

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "front.log").read_text()
        with contextlib.suppress(OSError), socket.create_connection((NAME, self.port), timeout=5):
            return True
        return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(DEADLINE)

    @abstractmethod
    def _command(self) -> list[str]: ...


class Nginx(Front):
    def _command(self) -> list[str]:
        site = _replaced(
            (ROOT / "deploy" / "nginx.conf").read_text(),
            {
                "listen 80;": f"listen {NAME}:{self.plain_port};",
                "listen 443 ssl http2;": f"listen {NAME}:{self.port} ssl http2;",
                "server 127.0.0.1:8000;": f"server 127.0.0.1:{self._upstream};",
                "tasks.example.com;": f"{NAME};",
                "/etc/ssl/certs/tasks.example.com.pem": str(self.certificate.chain),
                "/etc/ssl/private/tasks.example.com.key": str(self.certificate.key),
            },
        )
        (self.folder / "site.conf").write_text(site)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        places = "".join(f"{kind}_temp_path {self.folder}/{kind};\n" for kind in kinds)
        # Debian's /etc/nginx/nginx.conf, as far as it matters here.
        main = f"daemon off; pid {self.folder}/pid; error_log stderr; events {{}}\n"
        main += f"http {{ access_log off; {places} include site.conf; }}\n"
        if Path("/proc/self").owner() == "root":
            main = "user root;\n" + main  # the folder of a test is closed to others
        (self.folder / "nginx.conf").write_text(main)
        return [need("nginx"), "-p", str(self.folder), "-c", "nginx.conf", "-e", "stderr"]


class Caddy(Front):
    def _command(self) -> list[str]:
        site = _replaced(
            (ROOT / "deploy" / "Caddyfile").read_text(),
            {
                "\ntasks.example.com {\n": f"\n{self.url} {{\n\ttls {self.certificate.chain} {self.certificate.key}\n",
                "reverse_proxy 127.0.0.1:8000 {": f"reverse_proxy 127.0.0.1:{self._upstream} {{",
            },
        )
        # No other port, and nothing of it asks an authority.
        (self.folder / "Caddyfile").write_text("{\n\tadmin off\n\tauto_https off\n}\n" + site)
        return [need("caddy"), "run", "--config", "Caddyfile", "--adapter", "caddyfile"]


def need(tool: str) -> str:
    """Its path. Skips the test where it is not installed."""
    found = shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"{tool.upper()} IS NOT INSTALLED: its example in the folder deploy is not tested")
    return found


def read_until(opened: socket.socket, text: bytes) -> bytes:
    """What comes until `text` is in it; until the other end closes when `text` is empty."""
    data = b""
    ends = time.monotonic() + DEADLINE
    while (not text or text not in data) and time.monotonic() < ends:
        piece = opened.recv(65536)
        if not piece:
            break
        data += piece
    assert text in data, data
    return data


def _replaced(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in text, f"{old} is not in the example any more"
        text = text.replace(old, new)
    return text
