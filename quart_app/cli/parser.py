"""The commands and their flags."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any, Final, get_args

from quart_app.core.audit_acts import ActName
from quart_app.core.bulk import Action
from quart_app.core.keys import SCOPES
from quart_app.core.task import STATUSES
from quart_app.core.version import __version__
from quart_app.settings import check_bind, is_text


def number(text: str) -> str:
    """Return the text unchanged: the server checks the limits. Raises ValueError when it is not a number."""
    float(text)
    return text


# flag -> (metavar, reader, help) of `tasks create`: the options of the HTTP API, sent as they are typed
OPTIONS: Final[dict[str, tuple[str, Callable[[str], str], str]]] = {
    "--delay": ("SECONDS", number, "start it this much later"),
    "--run-at": ("TIME", str, "start it then (RFC 3339, as in 2030-01-31T12:00:00Z)"),
    "--priority": ("N", number, "-100 to 100, higher first"),
    "--queue": ("NAME", str, "another queue"),
    "--max-attempts": ("N", number, "runs that may end in an error"),
    "--timeout": ("SECONDS", number, "for one attempt"),
    "--unique-key": ("KEY", str, "one task of the kind with this key at a time"),
    "--on-duplicate": ("POLICY", str, "return (default), reject, replace or debounce"),
    "--debounce": ("SECONDS", number, "for --on-duplicate debounce"),
    "--expires": ("SECONDS", number, "give up when it has not started by then"),
}


PATHS: Final = frozenset({"file", "config", "bind"})  # on Unix their bytes need not be UTF-8


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line. Ends the process with exit code 2 for a mistake."""
    parser = build()
    arguments = parser.parse_args(argv)
    for name, value in vars(arguments).items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and name not in PATHS and not is_text(text):
                parser.error(f"argument {name.replace('_', '-')}: is no text in UTF-8")  # not shown: it may be a key
    return arguments


def build() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m quart_app", description="A durable task service on Quart. See README.md."
    )
    parser.add_argument("--version", action="version", version=f"quart_app {__version__}")
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
    _tasks(
        _named(commands, "tasks", "list, show, create, watch, cancel, retry, fork, delete tasks, send them signals"),
        reach,
    )
    _named(commands, "schedules", "what starts by itself, and when", reach)
    _queues(_named(commands, "queues", "list, pause, resume, limit queues", reach), _reach(below=True))
    _limits(_named(commands, "limits", "list and change the limits of tasks", reach), _reach(below=True))
    _keys(_named(commands, "keys", "add, list, rotate, revoke keys of the HTTP API"), reach)
    _bulk(_named(commands, "bulk", "cancel, retry or delete many tasks", reach))
    _errors(_named(commands, "errors", "failed tasks by what went wrong, the newest first", reach), reach)
    waiting = _named(commands, "waiting", "tasks that wait for a signal, the oldest first", reach)
    waiting.add_argument("--limit", type=_positive, default=50, help="how many at most (default: 50)")
    acts = _named(commands, "audit-log", "what was done as administrator, and whose keys were refused", reach)
    acts.add_argument("--act", choices=get_args(ActName), help="only these")
    acts.add_argument("--limit", type=_positive, default=50, help="how many at most (default: 50)")
    _storage(commands)
    return parser


def _named(actions: Any, name: str, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """A command with its text, in the list and in its own --help."""
    made: argparse.ArgumentParser = actions.add_parser(name, parents=parents, help=text, description=text)
    return made


def _reach(below: bool = False) -> argparse.ArgumentParser:
    """`below`: for an action below a command that takes these flags, too; those of the command hold unless they are
    given again."""
    reach = argparse.ArgumentParser(add_help=False)
    text, flag = (argparse.SUPPRESS, argparse.SUPPRESS) if below else (None, False)
    reach.add_argument(
        "--url", default=text, help="ask the server there (with its url_prefix), not the one of QUART_APP_DATA_DIR"
    )
    reach.add_argument("--key", default=text, help="the key for --url (default: QUART_APP_KEY)")
    reach.add_argument("--json", action="store_true", default=flag, help="print the answer of the HTTP API")
    return reach


def _tasks(parser: argparse.ArgumentParser, reach: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    found = _named(actions, "list", "the newest tasks", reach)
    found.add_argument("--status", choices=STATUSES)
    found.add_argument("--kind")
    found.add_argument("--queue")
    found.add_argument("--tag")
    found.add_argument("--parent", metavar="ID", help="only children of this task")
    found.add_argument(
        "--waiting-for", metavar="WHAT", help="time, children, paused, signal:NAME, kind:KIND or limit:NAME"
    )
    found.add_argument("--error", metavar="FINGERPRINT", help="those that have failed so, see `errors`")
    found.add_argument("--limit", type=_positive, default=50, help="how many at most (default: 50)")

    made = _named(actions, "create", "make a task and print its id", reach)
    made.add_argument("kind", metavar="KIND")
    made.add_argument("args", metavar="JSON", nargs="?", default="{}", help="the args as a JSON object; - reads stdin")
    for flag, (metavar, reader, text) in OPTIONS.items():
        made.add_argument(flag, metavar=metavar, type=reader, help=text)
    made.add_argument("--tag", action="append", default=[], help="may be repeated")
    made.add_argument("--idempotency-key", metavar="KEY", help="the same key makes one task")
    made.add_argument("--wait", action="store_true", help="until it has ended; exits as `tasks watch`")

    sent = _named(actions, "signal", "give a task what it waits for", reach)
    sent.add_argument("id", metavar="ID")
    sent.add_argument("name", metavar="NAME")
    sent.add_argument("data", metavar="JSON", nargs="?", default="null", help="what it gets; - reads stdin")
    sent.add_argument("--idempotency-key", metavar="KEY", help="the same key sends one signal")

    for name, text in (
        ("show", "one task"),
        ("watch", "follow a task to its end; exits 0 completed, 1 failed, 2 cancelled, 3 unknown"),
        ("stack", "where a running task is in its code"),
        ("explain", "why a task is where it is, and when it may start"),
        ("cancel", "end a task"),
        ("retry", "run a failed or cancelled task again"),
        ("delete", "delete an ended task"),
    ):
        one = _named(actions, name, text, reach)
        one.add_argument("id", metavar="ID")
        if name == "retry":
            forget = one.add_mutually_exclusive_group()
            forget.add_argument("--restart", action="store_true", help="forget the recorded steps")
            forget.add_argument(
                "--from", dest="step", metavar="STEP", help="forget this recorded step and all after it"
            )

    forked = _named(actions, "fork", "make a task that begins where this one was, and print its id", reach)
    forked.add_argument("id", metavar="ID")
    forked.add_argument("--from", dest="step", metavar="STEP", help="before this recorded step (default: after all)")
    forked.add_argument("--args", metavar="JSON", help="other args, as a JSON object; - reads stdin")


def _queues(parser: argparse.ArgumentParser, reach: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    _named(actions, "list", "all queues (the default)", reach)
    for name, text in (
        ("pause", "start nothing of a queue any more; what runs goes on"),
        ("resume", "start its tasks again"),
        ("set", "limit a queue at once"),
    ):
        one = _named(actions, name, text, reach)
        one.add_argument("name", metavar="NAME")
    one.add_argument("--concurrency", metavar="N", type=_amount("none"), help="tasks that run at once, or none")
    one.add_argument("--rate", metavar="RATE", help="starts in any so many seconds, as in 100/60, or none")


def _limits(parser: argparse.ArgumentParser, reach: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    _named(actions, "list", "all limits (the default)", reach)
    one = _named(actions, "set", "change a limit at once", reach)
    one.add_argument("name", metavar="NAME")
    one.add_argument(
        "--concurrency",
        metavar="N",
        type=_amount("none", "off"),
        help="tasks that run at once; off; none: as in the code",
    )
    one.add_argument(
        "--rate", metavar="RATE", help="starts in any so many seconds, as in 100/60; off; none: as in the code"
    )


def _bulk(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", metavar="ACTION", choices=get_args(Action), help="cancel, retry or delete")
    parser.add_argument("--status", choices=STATUSES)
    parser.add_argument("--kind")
    parser.add_argument("--queue")
    parser.add_argument("--tag")
    parser.add_argument("--error", metavar="FINGERPRINT", help="those that have failed so, see `errors`")
    parser.add_argument("--created-after", metavar="TIME", help="RFC 3339, as in 2030-01-31T12:00:00Z")
    parser.add_argument("--created-before", metavar="TIME")
    parser.add_argument("--dry-run", action="store_true", help="only count them")
    parser.add_argument("--reason", metavar="TEXT", help="stands in the audit log")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--wait", action="store_true", help="until it is done; exits as `tasks watch`")


def _errors(parser: argparse.ArgumentParser, reach: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=_positive, default=50, help="how many at most (default: 50)")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listed = _named(actions, "list", "the same", reach)
    listed.add_argument("--limit", type=_positive, default=50, help="how many at most (default: 50)")
    again = _named(actions, "retry", "retry all that have failed so, and print the id of the bulk task", reach)
    again.add_argument("fingerprint", metavar="FINGERPRINT")
    again.add_argument("--wait", action="store_true", help="until it is done; exits as `tasks watch`")


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
    checked = _named(commands, "check", "check settings, task modules, schedules, and that what waits has code")
    checked.add_argument("--json", action="store_true", help="one JSON object")


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
    """Parse a time such as `90d`; in seconds."""
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if found is None:
        raise argparse.ArgumentTypeError("must be a number and a unit of s, m, h, d, as in 90d")
    return int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[found[2]]


def _amount(*words: str) -> Callable[[str], int | str]:
    """Reads a number from 1, or one of these words."""

    def read(text: str) -> int | str:
        return text if text in words else _positive(text)

    return read


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError("must be a number from 1 to 1000000")
    return int(text)
