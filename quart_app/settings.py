"""All settings: read from the environment (or `.env`) into one frozen struct. An error names the bad key."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin
from urllib.parse import unquote, urlsplit

import msgspec
from dotenv import dotenv_values

from quart_app.core import keys, mail
from quart_app.core import trusted_proxies as proxies
from quart_app.core.errors import ConfigError
from quart_app.core.limits import MAX_CALLS, MAX_SECONDS

PREFIX: Final = "QUART_APP_"
DATABASE: Final = "tasks.db"  # in the data directory, unless QUART_APP_DATABASE_URL names another file
_SQLITE: Final = "sqlite:///"
SECRET: Final = frozenset({"api_keys", "key", "smtp_url"})  # never shown
IN_FILES: Final = {f"{PREFIX}{name.upper()}_FILE": name for name in sorted(SECRET)}
MAX_SECRET: Final = 1_048_576  # bytes of such a file

Seconds = Annotated[int, msgspec.Meta(ge=0, le=10**9)]
Count = Annotated[int, msgspec.Meta(ge=1, le=10**9)]
Flag = Annotated[int, msgspec.Meta(ge=0, le=1)]
_ORIGIN: Final = re.compile(r"https?://([a-z0-9._-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?")
Url = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s/]\S*\Z")]
_HOST: Final = r"([^\s/?#@:\[\]]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
BaseUrl = Annotated[str, msgspec.Meta(pattern=rf"^https?://{_HOST}(/[^\s?#]*)?\Z")]


class Settings(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Names are those of the environment without the prefix, in lower case; sizes in bytes.

    A relative path is made absolute when the settings are made, because tasks may change the working directory."""

    data_dir: str = "instance"
    database_url: str = ""
    bind: str = ""
    tasks: str = ""
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 64
    owner_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    cpu_slots: Annotated[int, msgspec.Meta(ge=1, le=1024)] = os.cpu_count() or 1
    queue_limit: Count = 100_000
    disk_floor: Annotated[int, msgspec.Meta(ge=0, le=10**18)] = 67_108_864
    synchronous: Literal["FULL", "NORMAL"] = "FULL"
    drain_seconds: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 8.0
    max_crashes: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10
    retention_seconds: Seconds = 604_800
    retention_rows: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 2_000_000
    idempotency_seconds: Annotated[int, msgspec.Meta(ge=1, le=10**9)] = 86_400
    max_body: Count = 1_048_576
    max_args: Count = 262_144
    max_result: Count = 1_048_576
    max_upload: Count = 10_485_760
    max_children: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 10_000
    max_depth: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 16
    max_streams: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 2000
    max_connections: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 8000
    max_connections_per_peer: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    max_requests_per_caller: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    max_body_memory: Count = 67_108_864
    schedules: Flag = 1
    code_version: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._+:/@-]{0,200}\Z")] = ""
    examples: Flag | None = None
    """Built-in kinds and example routes. None: 1, or 0 when the service is embedded in another app."""
    api_keys: str = ""
    allow_anonymous: Flag = 0
    allowed_origins: str = ""
    trusted_proxies: str = "0"
    key: str = ""
    allow_private_targets: Flag = 0
    smtp_url: str = ""
    mail_from: str = "quart-app@localhost"
    profile_url: BaseUrl = "https://api.example.com"
    simulated_steps: Annotated[str, msgspec.Meta(pattern=r"^[0-9]+(\.[0-9]+)?(,[0-9]+(\.[0-9]+)?)*\Z")] = "5,3"
    simulated_error_rate: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.1
    simulated_add_seconds: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 2.0
    cat_facts_url: Url = "https://catfact.ninja/fact"
    cat_facts_limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_CALLS)] = 100
    cat_facts_window: Annotated[float, msgspec.Meta(ge=0.001, le=MAX_SECONDS)] = 60.0
    client_limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100
    client_window: Annotated[int, msgspec.Meta(ge=1, le=MAX_SECONDS)] = 3600
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_file: str = ""

    def __post_init__(self) -> None:
        fixed = {"data_dir": _absolute(self.data_dir)}
        if self.log_file:
            fixed["log_file"] = _absolute(self.log_file)
        if self.database_url.startswith(_SQLITE) and self.database_url != _SQLITE:
            fixed["database_url"] = _SQLITE + _absolute(self.database_url.removeprefix(_SQLITE))
        for name, value in fixed.items():
            msgspec.structs.force_setattr(self, name, value)
        # A list of its own, not a changed `tasks`: the working directory may have a comma in its name.
        self.__dict__["_task_modules"] = [
            _absolute(word) if word.endswith(".py") else word for word in _words(self.tasks)
        ]

    def __repr__(self) -> str:
        """Without the secrets: a repr gets into logs and tracebacks."""
        shown = (f"{name}={'…' if name in SECRET else repr(getattr(self, name))}" for name in self.__struct_fields__)
        return f"Settings({', '.join(shown)})"

    @property
    def keys(self) -> list[keys.Key]:
        return keys.parse(self.api_keys)

    @property
    def secret_values(self) -> list[str]:
        """The texts that no error and no log may show: keys, the mail server's URL and its password, passwords in other
        URLs."""
        found = [self.key, self.smtp_url, *(entry.strip().partition(":")[2] for entry in self.api_keys.split(","))]
        for url in (self.smtp_url, self.cat_facts_url):
            password = urlsplit(url).password or ""
            found += [password, unquote(password)]
        return found

    @property
    def origins(self) -> frozenset[str]:
        return frozenset(_words(self.allowed_origins))

    @property
    def proxies(self) -> proxies.Trusted:
        return proxies.parse(str(self.trusted_proxies))

    @property
    def data_path(self) -> Path:
        return Path(self.data_dir)

    @property
    def database_path(self) -> Path:
        """The path of the file itself, with symbolic links resolved: its lock and its -wal are beside the file."""
        path = Path(self.database_url.removeprefix(_SQLITE)) if self.database_url else self.data_path / DATABASE
        return Path(os.path.realpath(path)) if path.is_symlink() else path

    @property
    def log_path(self) -> Path:
        return Path(self.log_file) if self.log_file else self.data_path / "async_tasks.log"

    @property
    def task_modules(self) -> list[str]:
        """The entries of QUART_APP_TASKS: modules by their names, `.py` files by their absolute paths."""
        found: list[str] = self.__dict__["_task_modules"]
        return found

    @property
    def step_seconds(self) -> list[float]:
        return [float(text) for text in self.simulated_steps.split(",")]


def _absolute(path: str) -> str:
    return str(Path(path).absolute())  # `..` is kept: after a symbolic link it means another folder


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


_TYPES: Final = {field.name: field.type for field in msgspec.structs.fields(Settings)}
_DEFAULTS: Final = {field.name: field.default for field in msgspec.structs.fields(Settings)}


_BYTES: Final = frozenset({"data_dir", "database_url", "bind", "tasks", "log_file"})  # paths; need not be UTF-8


def load(environ: Mapping[str, str] | None = None, dotenv: str | None = ".env") -> Settings:
    """Settings from the environment. `.env` in the working directory gives those that the environment does not set.

    Raises ConfigError naming the key.
    """
    if environ is None:
        environ = os.environ
    try:
        merged: dict[str, str | None] = {**(dotenv_values(dotenv) if dotenv else {}), **environ}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {dotenv}: {error}") from None
    _read_files(merged)
    given: dict[str, Any] = {}
    for key, text in merged.items():
        if not key.startswith(PREFIX) or text is None:
            continue
        name = key.removeprefix(PREFIX).lower()
        if name not in _TYPES:
            raise ConfigError(f"{key}: no such setting (docs/reference/settings.md lists them all)")
        given[name] = _convert(key, name, text)
    try:
        settings = Settings(**given)
    except FileNotFoundError:
        raise ConfigError(
            f"the working directory does not exist any more; set {PREFIX}DATA_DIR to a whole path"
        ) from None
    _check(settings)
    return settings


def _read_files(merged: dict[str, str | None]) -> None:
    """Read each setting that names the file of a secret: `QUART_APP_SMTP_URL_FILE=/run/secrets/smtp` sets
    QUART_APP_SMTP_URL to the text of that file. Raises ConfigError."""
    for key, name in IN_FILES.items():
        path = merged.pop(key, None)
        if path is None:
            continue
        direct = f"{PREFIX}{name.upper()}"
        if direct in merged:
            raise ConfigError(f"{key}: {direct} is set as well; unset one of them")
        try:
            with Path(path).open("rb") as file:
                raw = file.read(MAX_SECRET + 1)
            text = raw.decode()
        except (OSError, UnicodeDecodeError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise ConfigError(f"{key}: cannot read {path[:200]!r}: {why}") from None
        if not text.strip() or len(raw) > MAX_SECRET:
            raise ConfigError(f"{key}: {path[:200]!r} is {'empty' if not text.strip() else 'too large'}")
        merged[direct] = text.strip()


def _convert(key: str, name: str, text: str) -> Any:
    if "\0" in text or not (name in _BYTES or is_text(text)):
        raise ConfigError(f"{key}: is no text in UTF-8, or has a NUL in it")
    if not text.strip() and not isinstance(_DEFAULTS[name], str):
        raise ConfigError(f"{key}: is empty; unset it to get the default")
    try:
        value = msgspec.convert(text.strip(), _TYPES[name], strict=False)
    except msgspec.ValidationError as error:
        shown = "" if name in SECRET else f" (it is {text[:80]!r})"
        choice = get_origin(_TYPES[name]) is Literal
        problem = f"must be one of {', '.join(get_args(_TYPES[name]))}" if choice else error
        raise ConfigError(f"{key}: {problem}{shown}") from None
    if value is None or (isinstance(value, float) and value != value):
        raise ConfigError(f"{key}: is not a number")
    return value


def is_text(text: str) -> bool:
    """Whether the text came as UTF-8. Python turns other bytes into lone surrogates, which no encoder accepts."""
    return re.search("[\ud800-\udfff]", text) is None


def check_bind(address: str) -> None:
    """Check an address to listen on. Raises ValueError that says which form it must have."""
    if not re.fullmatch(r"(unix:.+|(\[[0-9a-fA-F:]+\]|[^\s:/]+):[0-9]{1,5})", address):
        raise ValueError(f"must be HOST:PORT or unix:PATH (it is {address[:80]!r})")
    port = address.rpartition(":")[2]
    if not address.startswith("unix:") and int(port) > 65535:
        raise ValueError(f"no port {port}")


def _check(settings: Settings) -> None:
    if settings.database_url and not settings.database_url.startswith(_SQLITE):
        raise ConfigError(f"{PREFIX}DATABASE_URL: must start with sqlite:/// (this version serves SQLite only)")
    if settings.database_url == _SQLITE:
        raise ConfigError(f"{PREFIX}DATABASE_URL: names no file")
    if settings.bind:
        try:
            check_bind(settings.bind)
        except ValueError as error:
            raise ConfigError(f"{PREFIX}BIND: {error}") from None
    if settings.max_args > settings.max_body:
        raise ConfigError(f"{PREFIX}MAX_ARGS: must not be above {PREFIX}MAX_BODY")
    try:
        keys.parse(settings.api_keys)
    except ValueError as error:
        raise ConfigError(f"{PREFIX}API_KEYS: {error}") from None
    try:
        proxies.parse(str(settings.trusted_proxies))
    except ValueError as error:
        raise ConfigError(f"{PREFIX}TRUSTED_PROXIES: {error}") from None
    try:
        mail.on_the_wire(settings.mail_from)
    except ValueError as error:
        raise ConfigError(f"{PREFIX}MAIL_FROM: {error} (it is {settings.mail_from[:80]!r})") from None
    try:
        if settings.smtp_url:
            mail.mail_server(settings.smtp_url)
    except ValueError as error:
        raise ConfigError(f"{PREFIX}SMTP_URL: {error}") from None
    for key, url in (("PROFILE_URL", settings.profile_url), ("CAT_FACTS_URL", settings.cat_facts_url)):
        if not _has_host_and_port(url):
            raise ConfigError(f"{PREFIX}{key}: must have a host and, if any, a port from 1 to 65535")
    for origin in settings.origins:
        if not _ORIGIN.fullmatch(origin) or not _has_host_and_port(origin):
            example = "https://app.example.com, in lower case, without a path"
            raise ConfigError(f"{PREFIX}ALLOWED_ORIGINS: {origin[:80]!r} is no origin as browsers send it ({example})")


def _has_host_and_port(url: str) -> bool:
    try:
        parts = urlsplit(url)
        if "[" in parts.netloc:
            ipaddress.IPv6Address(parts.hostname or "")
        return bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:
        return False
