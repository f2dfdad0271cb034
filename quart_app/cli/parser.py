"""The commands and their flags."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any, Final, get_args

import quart_app
from quart_app.core.acts import ActName
from quart_app.core.keys import SCOPES
from quart_app.core.task import STATUSES
from quart_app.settings import check_bind


def number(text: str) -> str:
    """The text as it is: the server knows the limits."""
    float(text)
    return text


# flag -> what it takes and says; those of `tasks create` are the options of the HTTP API, passed on as they are typed
OPTIONS: Final[dict[str, tuple[str, Callable[[str], str], str]]] = {
    "--delay": ("SECONDS", number, "start it this much later"),
    "--run-at": ("TIME", str, "start it then (RFC 3339, as in 2030-01-31T12:00:00Z)"),
    "--priority": ("N", number, "-100 to 100, higher first"),
    "--queue": ("NAME", str, "another queue"),
    "--max-attempts": ("N", number, "runs that may end in an error"),
    "--timeout": ("SECONDS", number, "for one attempt"),
    "--expires": ("SECONDS", number, "give up when it has not started by then"),
}


def build() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m quart_app", description=quart_app.__doc__)
    parser.add_argument("--version", action="version", version=f"quart_app {quart_app.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for target in (parser, _named(commands, "serve", "serve HTTP and run tasks (the default)")):
        target.add_argument(
            "--bind", metavar="HOST:PORT", type=_address, help="where to listen (default: hypercorn.toml)"
        )
        target.add_argument("--config", metavar="FILE", help="another hypercorn.toml")
        target.add_argument(
            "--server",
            choices=("hypercorn", "uvicorn"),
            default="hypercorn",
            help="what serves HTTP (default: hypercorn); uvicorn is quicker, and a package of its own",
        )
    _named(commands, "migrate", "bring the database's schema up to date and stop")
    reach = _reach()
    _named(commands, "status", "what the server is doing", reach)
    _tasks(_named(commands, "tasks", "list, show, create, watch, cancel, retry, delete tasks"), reach)
    _named(commands, "schedules", "what starts by itself, and when", reach)
    _keys(_named(commands, "keys", "add, list, rotate, revoke keys of the HTTP API"), reach)
    acts = _named(commands, "audit-log", "what was done as administrator, and whose keys were refused", reach)
    acts.add_argument("--act", choices=get_args(ActName), help="only these")
    acts.add_argument("--limit", type=_positive, default=50, help="how many at most (default: 50)")
    _storage(commands)
    return parser


def _named(actions: Any, name: str, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """A command with its text, in the list and in its own --help."""
    made: argparse.ArgumentParser = actions.add_parser(name, parents=parents, help=text, description=text)
    return made


def _reach() -> argparse.ArgumentParser:
    reach = argparse.ArgumentParser(add_help=False)
    reach.add_argument("--url", help="ask the server there (with its url_prefix), not the one of QUART_APP_DATA_DIR")
    reach.add_argument("--key", help="the key for --url (default: QUART_APP_KEY)")
    reach.add_argument("--json", action="store_true", help="print the answer of the HTTP API")
    return reach


def _tasks(parser: argparse.ArgumentParser, reach: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    found = _named(actions, "list", "the newest tasks", reach)
    found.add_argument("--status", choices=STATUSES)
    found.add_argument("--kind")
    found.add_argument("--queue")
    found.add_argument("--tag")
    found.add_argument("--limit", type=_positive, default=50, help="how many at most (default: 50)")

    made = _named(actions, "create", "make a task and print its id", reach)
    made.add_argument("kind", metavar="KIND")
    made.add_argument("args", metavar="JSON", nargs="?", default="{}", help="the args as a JSON object; - reads stdin")
    for flag, (metavar, reader, text) in OPTIONS.items():
        made.add_argument(flag, metavar=metavar, type=reader, help=text)
    made.add_argument("--tag", action="append", default=[], help="may be repeated")
    made.add_argument("--idempotency-key", metavar="KEY", help="the same key makes one task")
    made.add_argument("--wait", action="store_true", help="until it has ended; exits as `tasks watch`")

    for name, text in (
        ("show", "one task"),
        ("watch", "follow a task to its end; exits 0 completed, 1 failed, 2 cancelled, 3 unknown"),
        ("cancel", "end a task"),
        ("retry", "run a failed or cancelled task again"),
        ("delete", "delete an ended task"),
    ):
        one = _named(actions, name, text, reach)
        one.add_argument("id", metavar="ID")
        if name == "retry":
            one.add_argument("--restart", action="store_true", help="forget the recorded steps")


def _keys(parser: argparse.ArgumentParser, reach: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    added = _named(actions, "add", "make a key and print it, once", reach)
    added.add_argument("name", metavar="NAME")
    added.add_argument(
        "--scopes",
        metavar="LIST",
        type=_scopes,
        default="read,write",
        help="of read,write,admin (default: read,write)",
    )
    added.add_argument("--expires", metavar="TIME", type=_span, help="it ends after so long: 90d, 12h, 30m, 45s")
    added.add_argument("--kinds", metavar="LIST", type=_kinds, help="it may start these alone: add,send-email")
    _named(actions, "list", "names and scopes", reach)
    rotated = _named(actions, "rotate", "make another secret for a key; the one before is good for a while", reach)
    rotated.add_argument("name", metavar="NAME")
    rotated.add_argument(
        "--grace", metavar="TIME", type=_span, default=86_400, help="for how long: 7d, 12h, 0s (default: 1d)"
    )
    revoked = _named(actions, "revoke", "refuse a key from now on", reach)
    revoked.add_argument("name", metavar="NAME")
    revoked.add_argument("--cancel", action="store_true", help="cancel its tasks, too")


def _storage(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    copied = _named(commands, "backup", "copy the database into a file, also while a server runs")
    copied.add_argument("file", metavar="FILE")
    copied.add_argument("--force", action="store_true", help="replace FILE")
    put = _named(commands, "restore", "put a backup in the place of the database; no server may run")
    put.add_argument("file", metavar="FILE")
    audited = _named(commands, "audit", "check the whole database; changes nothing, also while a server runs")
    audited.add_argument("file", metavar="FILE", nargs="?", help="a backup to check (default: the database)")
    audited.add_argument("--json", action="store_true", help="one JSON object")


def _address(text: str) -> str:
    try:
        check_bind(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _scopes(text: str) -> list[str]:
    words = text.split(",")
    if unknown := set(words) - set(SCOPES):
        raise argparse.ArgumentTypeError(f"no scope {sorted(unknown)[0]!r}; there are {', '.join(SCOPES)}")
    return words


def _kinds(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _span(text: str) -> int:
    """Seconds."""
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if found is None:
        raise argparse.ArgumentTypeError("must be a number and a unit of s, m, h, d, as in 90d")
    return int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[found[2]]


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError("must be a number from 1 to 1000000")
    return int(text)
