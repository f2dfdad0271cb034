"""The paths of a hypercorn.toml are those of the working directory in which it was read."""

from __future__ import annotations

from pathlib import Path

import pytest

from quart_app.process import server
from quart_app.settings import Settings


def test_relative_paths_of_the_server_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("hypercorn.toml").write_text(
        'bind = ["unix:app.sock", "127.0.0.1:8000"]\ncertfile = "cert.pem"\nkeyfile = "/etc/key.pem"\naccesslog = "-"\n'
    )
    found = server._config(Settings(), None, None)
    assert found.bind == [f"unix:{tmp_path / 'app.sock'}", "127.0.0.1:8000"]
    assert (found.certfile, found.keyfile, found.accesslog) == (str(tmp_path / "cert.pem"), "/etc/key.pem", "-")
    assert server._config(Settings(bind="unix:b.sock"), None, None).bind == [f"unix:{tmp_path / 'b.sock'}"]
    assert server._config(Settings(), "unix:c.sock", None).bind == [f"unix:{tmp_path / 'c.sock'}"]


def test_a_socket_whose_whole_name_is_too_long_keeps_its_short_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.chdir(deep)
    assert server._config(Settings(), "unix:c.sock", None).bind == ["unix:c.sock"]
