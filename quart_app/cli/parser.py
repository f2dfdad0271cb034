"""The commands and their flags."""

from __future__ import annotations

import argparse
from typing import Final

import quart_app

# flag -> what it says; those of `tasks create` are the options of the HTTP API, passed on as they are typed
OPTIONS: Final = {
    "--delay": ("SECONDS", "start it this much later"),
    "--run-at": ("TIME", "start it then (RFC 3339, as in 2030-01-31T12:00:00Z)"),
    "--priority": ("N", "-100 to 100, higher first"),
    "--queue": ("NAME", "another queue"),
    "--max-attempts": ("N", "runs that may end in an error"),
    "--timeout": ("SECONDS", "for one attempt"),
    "--expires": ("SECONDS", "give up when it has not started by then"),
}


def build() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m quart_app", description=quart_app.__doc__)
    parser.add_argument("--version", action="version", version=f"quart_app {quart_app.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for target in (parser, commands.add_parser("serve", help="serve HTTP and run tasks (the default)")):
        target.add_argument("--bind", metavar="HOST:PORT", help="where to listen (default: hypercorn.toml)")
        target.add_argument("--config", metavar="FILE", help="another hypercorn.toml")
    commands.add_parser("migrate", help="bring the database's schema up to date and stop")
    reach = _reach()
    commands.add_parser("status", parents=[reach], help="what the server is doing")
    _tasks(commands.add_parser("tasks", help="list, show, create, watch, cancel, retry, delete tasks"), reach)
    commands.add_parser("schedules", parents=[reach], help="what starts by itself, and when")
    _keys(commands.add_parser("keys", help="add, list, revoke keys of the HTTP API"), reach)
    _storage(commands)
    return parser


def _reach() -> argparse.ArgumentParser:
    reach = argparse.ArgumentParser(add_help=False)
    reach.add_argument("--url", help="ask the server there, not the one of QUART_APP_DATA_DIR")
    reach.add_argument("--key", help="the key for --url (default: QUART_APP_KEY)")
    reach.add_argument("--json", action="store_true", help="print the answer of the HTTP API")
    return reach


def _tasks(parser: argparse.ArgumentParser, reach: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    found = actions.add_parser("list", parents=[reach], help="the newest tasks")
    found.add_argument("--status", help="pending, processing, completed, failed or cancelled")
    found.add_argument("--kind")
    found.add_argument("--queue")
    found.add_argument("--tag")
    found.add_argument("--limit", type=_positive, default=50, help="how many at most (default: 50)")

    made = actions.add_parser("create", parents=[reach], help="make a task and print its id")
    made.add_argument("kind", metavar="KIND")
    made.add_argument("args", metavar="JSON", nargs="?", default="{}", help="the args as a JSON object; - reads stdin")
    for flag, (metavar, text) in OPTIONS.items():
        made.add_argument(flag, metavar=metavar, help=text)
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
        one = actions.add_parser(name, parents=[reach], help=text)
        one.add_argument("id", metavar="ID")
        if name == "retry":
            one.add_argument("--restart", action="store_true", help="forget the recorded steps")


def _keys(parser: argparse.ArgumentParser, reach: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    added = actions.add_parser("add", parents=[reach], help="make a key and print it, once")
    added.add_argument("name", metavar="NAME")
    added.add_argument(
        "--scopes", metavar="LIST", default="read,write", help="of read,write,admin (default: read,write)"
    )
    actions.add_parser("list", parents=[reach], help="names and scopes")
    actions.add_parser("revoke", parents=[reach], help="refuse a key from now on").add_argument("name", metavar="NAME")


def _storage(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    copied = commands.add_parser("backup", help="copy the database into a file, also while a server runs")
    copied.add_argument("file", metavar="FILE")
    copied.add_argument("--force", action="store_true", help="replace FILE")
    put = commands.add_parser("restore", help="put a backup in the place of the database; no server may run")
    put.add_argument("file", metavar="FILE")
    audited = commands.add_parser("audit", help="check the whole database; changes nothing, also while a server runs")
    audited.add_argument("file", metavar="FILE", nargs="?", help="a backup to check (default: the database)")
    audited.add_argument("--json", action="store_true", help="one JSON object")


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError("must be a number from 1 to 1000000")
    return int(text)
