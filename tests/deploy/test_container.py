"""The container file: its settings, its command and its health check, run here as a container would run them."""

from __future__ import annotations

import json
import re
import subprocess
import sys

from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import ROOT

TEXT = (ROOT / "deploy" / "Containerfile").read_text().replace("\\\n", " ")
COMMAND = re.compile(r"^(ENTRYPOINT|HEALTHCHECK.*CMD) (\[.*\])$", re.MULTILINE)
COMMANDS = {name.split()[0]: json.loads(words) for name, words in COMMAND.findall(TEXT)}
SETTINGS = dict(re.findall(r"\bQUART_APP_(\w+)=(\S+)", re.findall(r"^ENV .*$", TEXT, re.MULTILINE)[0]))


def test_it_serves_says_how_it_is_and_stops(make_server: MakeServer) -> None:
    server = make_server(api_keys="shop:correct-horse-battery")
    assert SETTINGS["BIND"] == "0.0.0.0:8000"
    server.environment["QUART_APP_BIND"] = SETTINGS["BIND"].replace("8000", str(server.port))
    check = [word.replace("8000", str(server.port)) for word in COMMANDS["HEALTHCHECK"]]
    assert check[0] == COMMANDS["ENTRYPOINT"][0] == "python"

    def health() -> int:
        return subprocess.run([sys.executable, *check[1:]], capture_output=True, timeout=30).returncode

    assert health() == 1, "nothing listens yet"
    server.run(*COMMANDS["ENTRYPOINT"][1:]).wait_ready()
    assert health() == 0
    assert server.sigterm() == 0
    assert health() == 1


def test_without_keys_it_does_not_open_its_port(make_server: MakeServer) -> None:
    server = make_server()
    server.environment["QUART_APP_BIND"] = SETTINGS["BIND"].replace("8000", str(server.port))
    assert server.run(*COMMANDS["ENTRYPOINT"][1:]).wait_exit() == 78
    assert "key" in server.stderr


def test_what_it_copies_exists_and_no_secret_is_among_it() -> None:
    copied = {name for line in re.findall(r"^COPY (.*)$", TEXT, re.MULTILINE) for name in line.split()[:-1]}
    assert copied == {"requirements.txt", "hypercorn.toml", "migrations", "quart_app"}
    assert all((ROOT / name).exists() for name in copied)
    assert re.findall(r"^USER (\S+)$", TEXT, re.MULTILINE) == ["10001:10001"]
