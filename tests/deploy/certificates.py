"""A certificate for 127.0.0.1 and the clients that believe in its authority."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from tests.acceptance.harness import DEADLINE

trustme = pytest.importorskip("trustme", reason="TLS IS NOT TESTED: pip install -r requirements-dev.txt")


class Certificate:
    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        issued = self._authority.issue_cert("127.0.0.1", "localhost")
        self.chain, self.key = folder / "chain.pem", folder / "key.pem"
        issued.private_key_pem.write_to_path(str(self.key))
        for number, blob in enumerate(issued.cert_chain_pems):
            blob.write_to_path(str(self.chain), append=number > 0)

    def client(self, protocols: list[str] | None = None) -> ssl.SSLContext:
        """Of a client; `protocols`: what it offers by ALPN."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the authorities of this machine
        self._authority.configure_trust(context)
        if protocols:
            context.set_alpn_protocols(protocols)
        return context

    def connect(self, port: int, protocols: list[str] | None = None) -> ssl.SSLSocket:
        opened = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        return self.client(protocols).wrap_socket(opened, server_hostname="127.0.0.1")
