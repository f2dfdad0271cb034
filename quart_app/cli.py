"""The command line: `python -m quart_app [serve]`, `migrate`."""

from __future__ import annotations

import argparse
import asyncio
import sys

import quart_app
from quart_app import settings as settings_module
from quart_app.core.errors import StartupError


def main(argv: list[str] | None = None) -> None:
    arguments = _parser().parse_args(argv)
    try:
        settings = settings_module.load()
        if arguments.command == "migrate":
            asyncio.run(_migrate(settings))
        else:
            from quart_app import server

            server.run(settings, getattr(arguments, "bind", None), getattr(arguments, "config", None))
    except StartupError as error:
        sys.stderr.write(f"quart_app: {error}\n")
        sys.exit(error.exit_code)


async def _migrate(settings: settings_module.Settings) -> None:
    """Open the store, which migrates, and close it again."""
    from quart_app.runtime import Runtime

    runtime = Runtime(settings, spawn=lambda *_: None)
    applied = await runtime.migrate()
    print(f"applied {', '.join(applied)}" if applied else "nothing to apply")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m quart_app", description=quart_app.__doc__)
    parser.add_argument("--version", action="version", version=f"quart_app {quart_app.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for target in (parser, commands.add_parser("serve", help="serve HTTP and run tasks (the default)")):
        target.add_argument("--bind", metavar="HOST:PORT", help="where to listen (default: hypercorn.toml)")
        target.add_argument("--config", metavar="FILE", help="another hypercorn.toml")
    commands.add_parser("migrate", help="bring the database's schema up to date and stop")
    return parser
