"""Commands that speak the HTTP API: status, tasks, bulk, errors, schedules, keys, audit-log. limits.py has queues and
limits."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

import httpx
import msgspec

from quart_app.cli import bulk, limits, tables, watch
from quart_app.cli.connect import Api, reach, task_path
from quart_app.cli.errors import CommandError, NoAnswer
from quart_app.cli.parser import OPTIONS
from quart_app.core import codec
from quart_app.core.errors import InvalidInput
from quart_app.process.logs import escape_json
from quart_app.settings import Settings

FILTERS: Final = ("status", "kind", "queue", "tag", "parent", "error", "waiting_for")  # of `tasks list`
PAGE: Final = 200  # tasks, or schedules, of one answer
PATIENCE_OF_CANCEL: Final = 600.0  # seconds


async def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """The exit code. Raises CommandError, StartupError."""
    if arguments.command == "tasks" and arguments.action == "watch":
        return await watch.run(arguments, settings)
    async with reach(settings, arguments.url, arguments.key) as api:
        match arguments.command, getattr(arguments, "action", None):
            case "tasks", "list":
                await _list(api, arguments)
            case "tasks", "create":
                return await _create(api, arguments)
            case "tasks", "retry":
                query = {"restart": "true"} if arguments.restart else {}
                query |= {"from": arguments.step} if arguments.step is not None else {}
                answer = await api.call("POST", f"{task_path(arguments.id)}/retry", params=query)
                _print(answer, arguments, "will run again")
            case "tasks", "cancel":
                answer = await api.call("POST", f"{task_path(arguments.id)}/cancel")
                _print(answer, arguments, "cancelled" if answer.status_code == 200 else "asked to end")
            case "tasks", "fork":
                await _fork(api, arguments)
            case "tasks", "signal":
                await _signal(api, arguments)
            case "tasks", "stack":
                _print(await api.call("GET", f"{task_path(arguments.id)}/stack"), arguments, tables.stack)
            case "tasks", "explain":
                _print(await api.call("GET", f"{task_path(arguments.id)}/explain"), arguments, tables.explanation)
            case "bulk", _:
                return await bulk.run(api, arguments)
            case "errors", "retry":
                return await bulk.retry(api, arguments)
            case "errors", _:
                await bulk.errors(api, arguments)
            case "waiting", _:
                await _waiting(api, arguments)
            case "tasks", "delete":
                await api.call("DELETE", task_path(arguments.id))
                print("{}" if arguments.json else "deleted")
            case "tasks", _:
                await _show(api, arguments)
            case "schedules", _:
                await _schedules(api, arguments)
            case (("queues" | "limits"), _):
                await limits.run(api, arguments)
            case "keys", "add":
                body = {name: getattr(arguments, name) for name in ("name", "scopes", "expires", "kinds")}
                answer = await api.call("POST", "/keys", json=body)
                _print(answer, arguments, lambda made: made["key"])
            case "keys", "rotate":
                path = f"/keys/{quote(arguments.name, safe='')}/rotate"
                answer = await api.call("POST", path, json={"grace": arguments.grace})
                _print(answer, arguments, lambda made: made["key"])
            case "keys", "revoke":
                await _revoke(api, arguments)
            case "audit-log", _:
                await _acts(api, arguments)
            case "keys", _:
                _print(await api.call("GET", "/keys"), arguments, tables.keys)
            case _:
                _print(await api.call("GET", "/status"), arguments, tables.status)
    return 0


def _print(answer: httpx.Response, arguments: argparse.Namespace, shown: Any) -> None:
    """Print the API's own JSON with `--json`, else `shown`: a text, or a function that makes one of the document."""
    if arguments.json:
        print(escape_json(answer.text))
        return
    text = shown(answer.json()) if callable(shown) else shown
    if text is not None:
        print(text)


async def _revoke(api: Api, arguments: argparse.Namespace) -> None:
    query = {"cancel": "true"} if arguments.cancel else {}
    # Cancelling many tasks takes long. The server cancels the rest of them even when this command stops waiting.
    wait = PATIENCE_OF_CANCEL if arguments.cancel else 0
    answer = await api.call("DELETE", f"/keys/{quote(arguments.name, safe='')}", wait, params=query)
    if arguments.cancel:
        _print(answer, arguments, lambda done: f"revoked, {done['cancelled']} tasks cancelled")
    else:
        print("{}" if arguments.json else "revoked")


async def _acts(api: Api, arguments: argparse.Namespace) -> None:
    acts: list[Any] = []
    query = {"act": arguments.act} if arguments.act else {}
    while len(acts) < arguments.limit:
        query["limit"] = str(min(arguments.limit - len(acts), PAGE))
        document = (await api.call("GET", "/audit-log", params=query)).json()
        acts += document["acts"]
        if document["next"] is None:
            break
        query["cursor"] = httpx.URL(document["next"]).params["cursor"]
    if arguments.json:
        print(tables.as_json({"acts": acts}))
    else:
        tables.acts(acts)


async def _fork(api: Api, arguments: argparse.Namespace) -> None:
    asked: dict[str, Any] = {} if arguments.step is None else {"from": arguments.step}
    if arguments.args is not None:
        text = sys.stdin.buffer.read() if arguments.args == "-" else arguments.args.encode()
        try:
            asked["args"] = msgspec.Raw(codec.compact(codec.decode(text)).encode())
        except InvalidInput as error:
            raise CommandError(f"--args: {error}") from None
    headers = {"Content-Type": "application/json"}
    path = f"{task_path(arguments.id)}/fork"
    answer = await api.call("POST", path, content=msgspec.json.encode(asked), headers=headers)
    _print(answer, arguments, lambda made: made["task_id"])


async def _signal(api: Api, arguments: argparse.Namespace) -> None:
    if not re.fullmatch(r"[0-9A-Za-z._-]{1,100}", arguments.name) or set(arguments.name) <= {"."}:
        raise CommandError("a signal's name is as that of a kind")
    headers = {"Content-Type": "application/json", **_idempotency(arguments)}
    body = sys.stdin.buffer.read() if arguments.data == "-" else arguments.data.encode()
    path = f"{task_path(arguments.id)}/signals/{arguments.name}"
    _print(await api.call("POST", path, content=body, headers=headers), arguments, "sent")


def _idempotency(arguments: argparse.Namespace) -> dict[str, str]:
    if arguments.idempotency_key is None:
        return {}
    if not arguments.idempotency_key.isascii() or not arguments.idempotency_key.isprintable():
        raise CommandError("an idempotency key has 1 to 255 visible ASCII characters")
    return {"Idempotency-Key": arguments.idempotency_key}


async def _waiting(api: Api, arguments: argparse.Namespace) -> None:
    tasks: list[Any] = []
    query: dict[str, str] = {}
    following = None
    while len(tasks) < arguments.limit:
        query["limit"] = str(min(arguments.limit - len(tasks), PAGE))
        document = (await api.call("GET", "/waiting", params=query)).json()
        tasks += document["tasks"]
        if (following := document["next"]) is None:
            break
        query["cursor"] = httpx.URL(following).params["cursor"]
    if arguments.json:
        print(tables.as_json({"tasks": tasks, "next": following}))
    else:
        tables.waiting(tasks)


async def _show(api: Api, arguments: argparse.Namespace) -> None:
    path = task_path(arguments.id)
    answer = await api.call("GET", path)
    _print(answer, arguments, tables.task)
    if not arguments.json and answer.json()["error"] is not None:
        attempts = (await api.call("GET", f"{path}/history")).json()["attempts"]
        if last := next((one["error"] for one in reversed(attempts) if one["error"]), None):
            sys.stdout.write(tables.traceback(last))


async def _list(api: Api, arguments: argparse.Namespace) -> None:
    filters = {name: getattr(arguments, name) for name in FILTERS}
    query = {name: value for name, value in filters.items() if value is not None}
    tasks: list[Any] = []
    following = None
    while len(tasks) < arguments.limit:
        page = {**query, "limit": str(min(arguments.limit - len(tasks), PAGE))}
        if following is not None:
            # Only the cursor is used: the path of `next` depends on where the service is mounted.
            page["cursor"] = httpx.URL(following).params["cursor"]
        document = (await api.call("GET", "/tasks", params=page)).json()
        tasks += document["tasks"]
        following = document["next"]
        if following is None:
            break
    if arguments.json:
        print(tables.as_json({"tasks": tasks, "next": following}))
    else:
        tables.tasks(tasks)
        if following is not None:
            sys.stderr.write(f"there are more than {len(tasks)}; --limit shows them\n")


async def _schedules(api: Api, arguments: argparse.Namespace) -> None:
    schedules: list[Any] = []
    page: dict[str, Any] | None = {"limit": PAGE}
    while page is not None:
        document = (await api.call("GET", "/schedules", params=page)).json()
        schedules += document["schedules"]
        page = dict(parse_qsl(urlsplit(document["next"]).query)) if document["next"] is not None else None
    if arguments.json:
        print(tables.as_json({"schedules": schedules, "next": None}))
    else:
        tables.schedules(schedules)


async def _create(api: Api, arguments: argparse.Namespace) -> int:
    if arguments.wait and api.offline:
        raise NoAnswer("no server runs, so nothing would end the task; leave --wait out")
    if not re.fullmatch(r"[0-9A-Za-z._-]{1,100}", arguments.kind) or set(arguments.kind) <= {"."}:
        raise CommandError("Unknown kind")
    names = {flag: flag.removeprefix("--").replace("-", "_") for flag in OPTIONS}
    query: list[tuple[str, str]] = [("tag", tag) for tag in arguments.tag]
    query += [(name, value) for name in names.values() if (value := getattr(arguments, name)) is not None]
    headers = {"Content-Type": "application/json", **_idempotency(arguments)}
    body = sys.stdin.buffer.read() if arguments.args == "-" else arguments.args.encode()
    answer = await api.call("POST", f"/tasks/{arguments.kind}", params=query, content=body, headers=headers)
    task_id = answer.json()["task_id"]
    if not arguments.wait:
        _print(answer, arguments, task_id)
        return 0
    if not arguments.json:
        print(task_id, flush=True)
    answer, code = await watch.ended(api, task_id)
    _print(answer, arguments, tables.outcome)
    return code
