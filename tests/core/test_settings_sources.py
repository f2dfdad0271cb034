"""Where settings come from: the environment, `.env` and files of secrets; and what is no text there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from quart_app import settings
from quart_app.core.errors import ConfigError
from quart_app.settings import Settings
from tests.core.test_settings import KNOBS, load

BYTES = ("DATA_DIR", "DATABASE_URL", "BIND", "TASKS", "LOG_FILE")  # their paths may be any


@pytest.mark.parametrize("name", KNOBS)
def test_bytes_that_are_no_text_are_taken_for_paths_alone(name: str, tmp_path: Path) -> None:
    for text in ("\udcff", f"{KNOBS[name][0]}\udcff", "a\0b"):
        if name in BYTES and "\0" not in text:
            continue
        with pytest.raises(ConfigError, match=f"QUART_APP_{name}: is no text in UTF-8, or has a NUL in it"):
            load(**{name: text})
    path = tmp_path / ".env"
    path.write_bytes(f"QUART_APP_{name}='a\0b'\n".encode())
    with pytest.raises(ConfigError, match=f"QUART_APP_{name}: "):
        settings.load({}, dotenv=str(path))


def test_a_dotenv_file_may_take_bytes_that_are_no_text_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".env"
    path.write_text("QUART_APP_CONCURRENCY=${SOMETHING}\n")
    monkeypatch.setenv("SOMETHING", "\udcff")
    with pytest.raises(ConfigError, match="QUART_APP_CONCURRENCY: is no text"):
        settings.load({}, dotenv=str(path))


@pytest.mark.parametrize("raw", [b"\xff", b"a\0b"])
def test_the_file_of_a_secret_is_text(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(raw)
    with pytest.raises(ConfigError, match="no text"):
        load(KEY_FILE=str(path))


# --- .env


def test_a_dotenv_file_fills_in_what_the_environment_does_not_set(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(
        "# knobs\nQUART_APP_CONCURRENCY=5\nexport QUART_APP_QUEUE_LIMIT='7'\nQUART_APP_MAIL_FROM=\"x@y\"\nOTHER=1\n"
    )
    found = settings.load({"QUART_APP_CONCURRENCY": "9"}, dotenv=str(path))
    assert (found.concurrency, found.queue_limit, found.mail_from) == (9, 7, "x@y")


def test_the_dotenv_file_of_the_working_directory_is_the_one_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("QUART_APP_MAX_CRASHES=4\n")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path)
    assert settings.load({}).max_crashes == 4
    monkeypatch.chdir(tmp_path / "below")
    assert settings.load({}).max_crashes == 10


def test_the_environment_is_read_when_nothing_else_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUART_APP_CONCURRENCY", "3")
    assert settings.load().concurrency == 3


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("QUART_APP_CONCURRENCY=x", "QUART_APP_CONCURRENCY"),
        ("QUART_APP_NO_SUCH=1", "QUART_APP_NO_SUCH"),
        ("QUART_APP_MAIL_FROM=", "QUART_APP_MAIL_FROM"),
    ],
)
def test_a_bad_line_of_a_dotenv_file_is_refused_like_the_environment(tmp_path: Path, line: str, key: str) -> None:
    path = tmp_path / ".env"
    path.write_text(line + "\n")
    with pytest.raises(ConfigError, match=key):
        settings.load({}, dotenv=str(path))


@pytest.mark.parametrize("address", ["robot", "Robot <robot@mail.example>", "a@b,c@d", "a@b..c", "a@☃.example"])
def test_the_sender_of_mails_is_one_address(address: str) -> None:
    with pytest.raises(ConfigError, match="QUART_APP_MAIL_FROM: no "):
        load(MAIL_FROM=address)


def test_a_dotenv_file_that_is_not_text_is_a_configuration_error(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"QUART_APP_BIND=\xff\xfe\n")
    with pytest.raises(ConfigError, match=r"\.env"):
        settings.load({}, dotenv=str(path))


def test_a_missing_dotenv_file_is_no_error(tmp_path: Path) -> None:
    assert settings.load({}, dotenv=str(tmp_path / "absent")) == Settings()


# --- secrets

SECRETS = {"API_KEYS": f"ann:{'opensesame' * 3}", "SMTP_URL": "smtp://u:opensesame@mail", "KEY": "opensesame"}


def test_no_secret_is_in_what_a_log_or_a_traceback_shows() -> None:
    found = load(**SECRETS, MAIL_FROM="a@b.example")
    for text in (repr(found), str(found), f"{found!r:>10}"):
        assert "opensesame" not in text
        assert "mail_from='a@b.example'" in text


def test_a_setting_that_sounds_like_a_secret_is_one() -> None:
    sounding = {name for name in Settings.__struct_fields__ if re.search("key|secret|token|password|smtp", name)}
    assert sounding == settings.SECRET


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("API_KEYS", "opensesameopensesame"),
        ("API_KEYS", "opensesame:"),
        ("API_KEYS", "ann:opensesame"),
        ("API_KEYS", f"ann:{'opensesame' * 2},bob:{'opensesame' * 2}"),
        ("SMTP_URL", "opensesame"),
        ("SMTP_URL", "imap://u:opensesame@mail"),
        ("SMTP_URL", "smtp://u:opensesame@mail:port"),
    ],
)
def test_no_error_repeats_a_secret(name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=f"QUART_APP_{name}") as caught:
        load(**{name: text})
    assert "opensesame" not in str(caught.value)
