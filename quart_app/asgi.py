"""`app` for any ASGI server with one process: `hypercorn -c hypercorn.toml quart_app.asgi:app`."""

from __future__ import annotations

import sys

from quart_app.app import standalone_app
from quart_app.core.errors import StartupError
from quart_app.process import logs, setup
from quart_app.settings import load

setup.prepare()
try:
    _settings = load()
    logs.setup(_settings)
    app = standalone_app(_settings)
except StartupError as error:
    sys.stderr.write(f"quart_app: {error}\n")
    sys.exit(error.exit_code)
