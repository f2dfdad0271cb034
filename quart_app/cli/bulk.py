"""The commands `bulk` and `errors`: one action on many tasks, and failed tasks by what went wrong."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Final
from urllib.parse import quote

import httpx

from quart_app.cli import tables, watch
from quart_app.cli.connect import Api
from quart_app.cli.errors import CommandError, NoAnswer
from quart_app.process.logs import escape_json

PAGE: Final = 200
PATIENCE: Final = 600.0  # seconds for counting
FILTERS: Final = ("status", "kind", "queue", "tag", "error", "created_after", "created_before")


async def run(api: Api, arguments: argparse.Namespace) -> int:
    """Count the tasks, ask whether to go on, and make the bulk task. The exit code."""
    chosen = {name: value for name in FILTERS if (value := getattr(arguments, name)) is not None}
    body: dict[str, Any] = {"action": arguments.action, "filter": chosen}
    if arguments.reason is not None:
        body["reason"] = arguments.reason
    if not arguments.dry_run and arguments.yes:
        return await _start(api, arguments, "/bulk", json=body)
    answer = await api.call("POST", "/bulk", PATIENCE, json={**body, "dry_run": True})
    matching = answer.json()["matching"]
    many = tables.counted(matching, "task")
    if arguments.dry_run:
        print(escape_json(answer.text) if arguments.json else many)
        return 0
    if not sys.stdin.isatty():
        raise CommandError(f"this would {arguments.action} {many}; --yes does it")
    sys.stderr.write(f"{arguments.action} {many}? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was done")
    return await _start(api, arguments, "/bulk", json=body)


async def retry(api: Api, arguments: argparse.Namespace) -> int:
    """Retry all tasks of a group of errors. The exit code."""
    return await _start(api, arguments, f"/errors/{quote(arguments.fingerprint, safe='')}/retry")


async def errors(api: Api, arguments: argparse.Namespace) -> None:
    """Print the groups of failed tasks, the newest first."""
    found: list[Any] = []
    query: dict[str, str] = {}
    following = None
    while len(found) < arguments.limit:
        query["limit"] = str(min(arguments.limit - len(found), PAGE))
        document = (await api.call("GET", "/errors", params=query)).json()
        found += document["errors"]
        if (following := document["next"]) is None:
            break
        query["cursor"] = httpx.URL(following).params["cursor"]
    if arguments.json:
        print(tables.as_json({"errors": found, "next": following}))
    else:
        tables.errors(found)


async def _start(api: Api, arguments: argparse.Namespace, path: str, **content: Any) -> int:
    if arguments.wait and api.offline:
        raise NoAnswer("no server runs, so nothing would be done; leave --wait out")
    answer = await api.call("POST", path, **content)
    task_id = answer.json()["task_id"]
    if not arguments.wait:
        print(escape_json(answer.text) if arguments.json else task_id)
        return 0
    if not arguments.json:
        print(task_id, flush=True)
    answer, code = await watch.ended(api, task_id)
    print(escape_json(answer.text) if arguments.json else tables.outcome(answer.json()))
    return code
