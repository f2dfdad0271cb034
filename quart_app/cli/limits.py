"""The commands `queues` and `limits`."""

from __future__ import annotations

import argparse
from typing import Any, Final
from urllib.parse import quote

import httpx

from quart_app.cli import tables
from quart_app.cli.connect import Api
from quart_app.cli.errors import WrongUse
from quart_app.process.logs import escape_json

PAGE: Final = "200"
RATE_NAMES: Final = {"queues": "rate_limit", "limits": "rate"}  # of the member of a body


async def run(api: Api, arguments: argparse.Namespace) -> None:
    """Raises CommandError."""
    what = arguments.command
    shown = tables.queues if what == "queues" else tables.limits
    if arguments.action in (None, "list"):
        found = await _all(api, what)
        if arguments.json:
            print(tables.as_json({what: found, "next": None}))
        else:
            shown(found)
        return
    path = f"/{what}/{quote(arguments.name, safe='')}"
    if arguments.action == "set":
        answer = await api.call("PATCH", path, json=_changes(arguments))
    else:
        answer = await api.call("POST", f"{path}/{arguments.action}")
    if arguments.json:
        print(escape_json(answer.text))
    else:
        shown([answer.json()])


def _changes(arguments: argparse.Namespace) -> dict[str, Any]:
    """The body; `none` is null."""
    given = {"concurrency": arguments.concurrency, RATE_NAMES[arguments.command]: arguments.rate}
    changes = {name: None if value == "none" else value for name, value in given.items() if value is not None}
    if not changes:
        raise WrongUse("say what to change: --concurrency, --rate or both")
    return changes


async def _all(api: Api, what: str) -> list[Any]:
    found: list[Any] = []
    query: dict[str, str] = {"limit": PAGE}
    while True:
        document = (await api.call("GET", f"/{what}", params=query)).json()
        found += document[what]
        if document["next"] is None:
            return found
        query["cursor"] = httpx.URL(document["next"]).params["cursor"]
