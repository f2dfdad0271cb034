"""What is replaced in the servers is what it was when it was replaced; and under another version they serve without."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from quart import Quart

from quart_app import create_app
from quart_app.process import known_versions
from quart_app.settings import Settings
from quart_app.web.protection import patching, quart_patches
from quart_app.web.protection.plain_site import PlainSite

# When one of these is another: read what its package did to it, see whether what is ours is still right, and record it.
RECORDED: dict[str, dict[str, str]] = {
    "hypercorn 0.18.0": {
        "hypercorn.app_wrappers.ASGIWrapper": "8670a23eb46059a3",
        "hypercorn.asyncio.run.worker_serve": "ae30269c42b95442",
        "hypercorn.asyncio.tcp_server.TCPServer": "3bfa72b319509f2b",
        "hypercorn.asyncio.worker_context.WorkerContext": "6eeeae02ae174a68",
        "hypercorn.protocol.h11.H11Protocol": "b32a61e0a8ca2127",
        "hypercorn.protocol.h2.H2Protocol": "7257f8bafccaa2e5",
        "hypercorn.protocol.http_stream.HTTPStream": "e0f656feb55ab89c",
        "hypercorn.protocol.ws_stream.WSStream": "67434c428a1a3c04",
    },
    "quart 0.22.0": {
        "quart.app.Quart.asgi_app": "c122757e638bc434",
        "quart.app.Quart.ensure_async": "4beeb64991943852",
        "quart.asgi.ASGIHTTPConnection": "6065b18f7c6ef8b5",
        "quart.routing.QuartMap": "8f79d1f1d87dee96",
        "quart.routing.QuartRule": "ef8fa8a23d537aac",
        "quart.wrappers.request.Body": "c93c37f778fda649",
        "quart.wrappers.request.Request": "88d33e68478ad2c4",
    },
    "uvicorn 0.54.0": {
        "uvicorn.protocols.http.flow_control.FlowControl.drain": "4bda6b61c277ae87",
        "uvicorn.protocols.http.h11_impl.H11Protocol.connection_made": "6efb565ff3d36b91",
        "uvicorn.protocols.http.httptools_impl.HttpToolsProtocol": "18fdf324b11bf160",
        "uvicorn.protocols.http.httptools_impl.RequestResponseCycle": "e67d470d435dcc1c",
        "uvicorn.protocols.websockets.wsproto_impl.WSProtocol": "142b7556afc92890",
        "uvicorn.server.Server.startup": "2aa1d70a244bfcf2",
    },
    "werkzeug 3.1.9": {
        "werkzeug.routing.map.MapAdapter": "20e86798425b2c03",
    },
    "wsproto 1.3.2": {
        "wsproto.connection.Connection": "6b70917fe888fb2c",
        "wsproto.handshake.server_extensions_handshake": "56dcd715837e35cd",
    },
}

LOOK = """
import hashlib, inspect, json, sys
import httptools, uvicorn
from quart_app.settings import Settings
from quart_app.web.protection import patching, quart_patches
from quart_app.web.protection.connections import Connections
patching.install(Connections(9, 0, Settings().proxies))
from quart_app.process import hypercorn_connections
from quart_app.web.protection import uvicorn_patches
extended = (*quart_patches.EXTENDED, *uvicorn_patches.EXTENDED)
theirs = (*patching.replaced.values(), *extended, *hypercorn_connections.USED)
hashes = {
    f"{one.__module__}.{one.__qualname__}": hashlib.sha256(inspect.getsource(one).encode()).hexdigest()[:16]
    for one in theirs
}
json.dump(hashes, sys.stdout)
"""


@pytest.fixture(scope="module")
def found() -> dict[str, str]:
    pytest.importorskip("uvicorn", reason="UVICORN IS NOT INSTALLED: requirements-dev.txt has it")
    pytest.importorskip("httptools", reason="HTTPTOOLS IS NOT INSTALLED: requirements-dev.txt has it")
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    made: dict[str, str] = json.loads(done.stdout)
    return made


@pytest.mark.parametrize("package", RECORDED)
def test_what_is_replaced_or_extended_is_still_the_same(found: dict[str, str], package: str) -> None:
    name, _, version = package.partition(" ")
    installed = importlib.metadata.version(name)
    if installed != version:
        pytest.skip(f"{name} {installed} IS NOT {version}, FOR WHICH THE HASHES ARE RECORDED")
    theirs = {path: one for path, one in found.items() if path.partition(".")[0] == name}
    assert theirs == RECORDED[package]


def test_every_package_has_its_hashes(found: dict[str, str]) -> None:
    assert {path.partition(".")[0] for path in found} == {package.partition(" ")[0] for package in RECORDED}


def test_the_versions_of_the_requirements_are_known() -> None:
    """A new one is pinned together with what it needs here."""
    for name, versions in known_versions.KNOWN.items():
        assert importlib.metadata.version(name).rpartition(".")[0] in versions


class _Theirs:
    def kept(self) -> str:
        return "theirs"


def test_a_module_of_which_a_part_is_missing_replaces_nothing() -> None:
    ours: Any = lambda _: "ours"  # noqa: E731
    with pytest.raises(AttributeError):
        patching._apply([patching.Patch(_Theirs, "kept", ours, ""), patching.Patch(_Theirs, "gone", ours, "")])
    assert _Theirs().kept() == "theirs"


@pytest.mark.parametrize("package", ["quart", "werkzeug"])
def test_an_app_under_an_unknown_version_extends_no_part_of_quart(
    package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "99.1.0" if name == package else real(name))
    app = create_app(Settings(data_dir=str(tmp_path)))
    assert type(app) is PlainSite
    for name in ("request_class", "asgi_http_class", "url_rule_class", "url_map_class", "session_interface"):
        assert getattr(app, name) is getattr(Quart, name)
    assert type(app.url_map) is Quart.url_map_class


def test_an_app_under_known_versions_extends_quart(tmp_path: Path) -> None:
    assert type(create_app(Settings(data_dir=str(tmp_path)))) is quart_patches.Site
