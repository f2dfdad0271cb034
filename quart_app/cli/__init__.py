"""The command line: `python -m quart_app [COMMAND]`. What a command needs is imported when it is given."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys

from quart_app import process_setup
from quart_app import settings as settings_module
from quart_app.cli import parser
from quart_app.cli.errors import CommandError
from quart_app.core.errors import StartupError
from quart_app.settings import Settings

CODE_INTERRUPTED = 130


def main(argv: list[str] | None = None) -> None:
    process_setup.prepare()
    arguments = parser.build().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a terminal may know few characters
    try:
        code = _run(arguments, settings_module.load())
        sys.stdout.flush()
    except (StartupError, CommandError) as error:
        sys.stderr.write(f"quart_app: {error}\n")
        code = error.exit_code
    except KeyboardInterrupt:
        code = CODE_INTERRUPTED
    except BrokenPipeError:
        # `… | head` has read enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = CODE_INTERRUPTED
    sys.exit(code)


def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    match arguments.command:
        case None | "serve":
            # What is imported stays: looking for garbage in it took a fifteenth of the start, and then 25 ms of the
            # event loop's time at each full collection.
            gc.disable()
            from quart_app import server

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
