"""What a hypercorn.toml may say: each key has its type, and a wrong one is one line that names file, key and type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypercorn.config import Config

from quart_app.core.errors import ConfigError
from quart_app.process import hypercorn_toml, server
from quart_app.settings import Settings

ROOT = Path(__file__).parents[1]

NO_KEYS = {"log", "logger_class", "ssl_enabled"}  # of Hypercorn, for Python alone
GOOD: tuple[Any, ...] = (1, 20_000, 0.5, "info", True, ["a:1"], "a:1", {})


def written(folder: Path, text: str) -> str:
    path = folder / "hypercorn.toml"
    path.write_text(text)
    return str(path)


def test_every_key_of_hypercorn_has_its_type_and_no_other_is_there() -> None:
    names = {name for name, value in vars(Config).items() if not name.startswith("_") and not callable(value)}
    names -= {name for name, value in vars(Config).items() if isinstance(value, classmethod)}
    assert set(hypercorn_toml.KEYS) == (names | set(Config.__annotations__) | {"bind"}) - NO_KEYS - {
        name for name in Config.__annotations__ if name.startswith("_")
    }


def test_the_defaults_of_hypercorn_are_of_these_types() -> None:
    for name, kind in hypercorn_toml.KEYS.items():
        default = getattr(Config(), name, None) if name != "cert_reqs" else None
        if default is not None:
            msgspec.convert(default, kind)


@pytest.mark.parametrize("key", hypercorn_toml.KEYS)
def test_a_wrong_type_names_file_key_and_type(tmp_path: Path, key: str) -> None:
    for wrong in ("1979-05-27", "[[1]]", "nan", "-1"):
        path = written(tmp_path, f"{key} = {wrong}")
        with pytest.raises(ConfigError) as caught:
            server._config(Settings(), None, path)
        assert str(caught.value).startswith(f"{path}: {key}: Expected `")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["", "unix:", "unix:a\\u0000", "fd://", "fd://x", "a:65536", "a:-1", "127.0.0.1:999999999999999999"]
)
@pytest.mark.parametrize("key", ["bind", "insecure_bind", "quic_bind"])
def test_an_address_that_cannot_be_is_refused(tmp_path: Path, key: str, address: str) -> None:
    path = written(tmp_path, f'{key} = ["127.0.0.1:1", "{address}"]')
    with pytest.raises(ConfigError, match=f"{key}: expected HOST:PORT"):
        server._config(Settings(), None, path)


@pytest.mark.parametrize(
    "address", ["localhost", "localhost:0", "::1", "[::1]:80", "[::]", "fd://3", "unix:/a b", "a:"]
)
def test_every_form_of_an_address_of_hypercorn_is_taken(tmp_path: Path, address: str) -> None:
    assert server._config(Settings(), None, written(tmp_path, f'bind = "{address}"')).bind == [address]


def test_what_is_no_key_is_left_out_and_told(tmp_path: Path) -> None:
    found = server._config(
        Settings(), None, written(tmp_path, "keep_alive_timout = 3\ncreate_sockets = 5\n[log]\nx = 1")
    )
    assert found.unknown == ["keep_alive_timout", "create_sockets", "log"]
    assert callable(found.create_sockets)


def test_our_own_file_has_nothing_wrong() -> None:
    given, unknown = hypercorn_toml.read(ROOT / "hypercorn.toml")
    assert given["backlog"] == 1024
    assert not unknown


@pytest.mark.parametrize("text", ["bind", "a = " + "[" * 5000, "bind = 1\nbind = 2", "x = '\0'"])
def test_what_is_no_toml_is_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        server._config(Settings(), None, written(tmp_path, text))
