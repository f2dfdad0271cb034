"""The command line: `python -m quart_app [COMMAND]`. The modules of a command are imported only when it runs."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys

from quart_app import settings as settings_module
from quart_app.cli import parser
from quart_app.cli.errors import CommandError
from quart_app.core.errors import StartupError
from quart_app.process import setup
from quart_app.settings import Settings

CODE_INTERRUPTED = 130


def main(argv: list[str] | None = None) -> None:
    setup.prepare()
    arguments = parser.parse(argv)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a terminal may lack characters
    try:
        code = _check(arguments) if arguments.command == "check" else _run(arguments, settings_module.load())
        sys.stdout.flush()
    except (StartupError, CommandError) as error:
        sys.stderr.write(f"quart_app: {error}\n")
        code = error.exit_code
    except KeyboardInterrupt:
        code = CODE_INTERRUPTED
    except BrokenPipeError:
        # The reader has closed the pipe, as `… | head` does. Python would report that again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = CODE_INTERRUPTED
    sys.exit(code)


def _check(arguments: argparse.Namespace) -> int:
    """It loads the settings itself: an error in them is what it is to find."""
    from quart_app.cli import check

    return check.run(arguments)


def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    match arguments.command:
        case None | "serve":
            # Imported modules are never garbage. Collecting garbage among them took a fifteenth of the start, and later
            # 25 ms of the event loop's time at each full collection.
            gc.disable()
            from quart_app.process import server

            gc.freeze()
            gc.enable()
            server.run(settings, arguments.bind, arguments.config, arguments.server)
        case "migrate" | "backup" | "restore" | "audit":
            from quart_app.cli import storage

            return storage.run(arguments, settings)
        case _:
            from quart_app.cli import remote

            return asyncio.run(remote.run(arguments, settings))
    return 0
