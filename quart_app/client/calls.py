"""What the client asks the service for, apart from waiting."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from quart_app.client import requests
from quart_app.client.errors import Refused, TaskServiceError
from quart_app.client.requests import JSON, WHOLE, path_of
from quart_app.client.steps import Answer, Give, Patience, Send, Steps, Unclear, ask
from quart_app.client.task import Explanation, Kind, Task, function_of, json_of, part_of, task_of

COUNTING: Final = 600.0  # seconds that counting the tasks of a bulk task may take


class Service:
    """The service as the client sees it. `where`: its URL, for messages."""

    def __init__(self, where: str, unavailable_after: float) -> None:
        self.where = where
        self.unavailable_after = unavailable_after

    def ask(self, send: Send, repeatable: bool = True) -> Steps[Answer]:
        return (yield from ask(send, self.patience(), repeatable))

    def patience(self, ends: float | None = None, late: str = "") -> Patience:
        return Patience(self.where, self.unavailable_after, ends, late)

    # --- making

    def create(self, kind: str | Kind[Any], args: Any, options: Mapping[str, Any]) -> Steps[Task[Any]]:
        name, function = requests.kind_of(kind)
        chosen = dict(options)
        key = requests.idempotency_key(chosen.pop("idempotency_key", None))
        send = Send(
            "POST",
            f"/tasks/{name}",
            requests.query_of(chosen),
            {**JSON, **WHOLE, "Idempotency-Key": key},
            json_of({} if args is None else args, "args"),
        )
        answer = yield from self.ask(send)
        return (yield from self._made(answer.json(), function))

    def create_many(self, items: Sequence[Mapping[str, Any]]) -> Steps[list[Task[Any]]]:
        if not items:
            return []
        functions = [requests.kind_of(item["kind"])[1] for item in items]
        body = json_of([requests.item_of(item) for item in items], "args")
        answer = yield from self.ask(Send("POST", "/tasks", (), {**JSON, **WHOLE}, body))
        found = []
        for document, function in zip(_member(answer, "tasks"), functions, strict=True):
            found.append((yield from self._made(document, function)))
        return found

    def _made(self, document: Any, function: Callable[..., Any] | None) -> Steps[Task[Any]]:
        """The task that an answer tells of. Some tell its id alone."""
        if isinstance(document, dict) and "kind" in document and "created_at" in document:
            return task_of(document, function)
        if not isinstance(document, dict) or not isinstance(document.get("task_id"), str):
            raise TaskServiceError(f"the answer is not that of a task service: {document!r:.200}")
        answer = yield from self.ask(Send("GET", path_of(document["task_id"])))
        return task_of(answer.json(), function)

    def fork(self, task: str | Task[Any], from_step: str | None, args: Any) -> Steps[Task[Any]]:
        asked = {"from": from_step} | ({} if args is None else {"args": args})
        send = Send("POST", path_of(task, "fork"), (), JSON, json_of(asked, "args"))
        answer = yield from self.ask(send, repeatable=False)
        return (yield from self._made(answer.json(), function_of(task)))

    def bulk(self, action: str, wanted: Mapping[str, Any], dry_run: bool, reason: str | None) -> Steps[Task[Any] | int]:
        asked: dict[str, Any] = {"action": action, "filter": requests.filter_of(wanted)}
        asked |= ({"dry_run": True} if dry_run else {}) | ({"reason": reason} if reason is not None else {})
        headers = {**JSON, "Idempotency-Key": requests.idempotency_key(None)}
        answer = yield from self.ask(Send("POST", "/bulk", (), headers, json_of(asked, "the filter"), COUNTING))
        if dry_run:
            return int(_member(answer, "matching"))
        return (yield from self._made(answer.json(), None))

    # --- reading

    def get(self, task: str | Task[Any]) -> Steps[Task[Any]]:
        answer = yield from self.ask(Send("GET", path_of(task)))
        return task_of(answer.json(), function_of(task))

    def explain(self, task: str | Task[Any]) -> Steps[Explanation]:
        answer = yield from self.ask(Send("GET", path_of(task, "explain")))
        return part_of(answer.json(), Explanation)

    def find(self, filters: Mapping[str, Any]) -> Steps[None]:
        """Gives the tasks of all pages."""
        kind = filters.get("kind")
        function = None if kind is None else requests.kind_of(kind)[1]
        query = requests.query_of(filters)
        while True:
            answer = yield from self.ask(Send("GET", "/tasks", query))
            for document in _member(answer, "tasks"):
                yield Give(task_of(document, function))
            following = _member(answer, "next")
            if following is None:
                return
            # Only the cursor: the path of `next` is the one behind a proxy.
            cursor = parse_qs(urlsplit(following).query)["cursor"][0]
            query = (*((name, value) for name, value in query if name != "cursor"), ("cursor", cursor))

    # --- by hand

    def cancel(self, task: str | Task[Any]) -> Steps[Task[Any]]:
        patience = self.patience()
        try:
            answer = yield from ask(Send("POST", path_of(task, "cancel")), patience)
        except Refused as refused:
            # A request before this one may have cancelled it, and its answer was lost.
            if refused.problem["status"] != 409 or not patience.tried:
                raise
            found = yield from self.get(task)
            if found.status != "cancelled":
                raise refused from None
            return found
        return task_of(answer.json(), function_of(task))

    def retry(self, task: str | Task[Any], from_step: str | None, restart: bool) -> Steps[Task[Any]]:
        query = requests.query_of({"from": from_step, "restart": restart or None})
        send, patience = Send("POST", path_of(task, "retry"), query), self.patience()
        before = yield from self.get(task)
        while True:
            try:
                yield from ask(send, patience, repeatable=False)
            except Unclear as unclear:
                now = yield from self.get(task)
                if now.version != before.version:
                    return now
                pause = patience.pause(str(unclear))
            else:
                return (yield from self.get(task))
            yield pause

    def update(self, task: str | Task[Any], if_version: int | None, changes: Mapping[str, Any]) -> Steps[Task[Any]]:
        headers = JSON if if_version is None else {**JSON, "If-Match": f'"{if_version}"'}
        answer = yield from self.ask(Send("PATCH", path_of(task), (), headers, requests.changes_of(changes)))
        return task_of(answer.json(), function_of(task))

    def signal(self, task: str | Task[Any], name: str, data: Any, key: str | None) -> Steps[None]:
        headers = {**JSON, "Idempotency-Key": requests.idempotency_key(key)}
        path = path_of(task, "signals", requests.name_of(name))
        yield from self.ask(Send("POST", path, (), headers, json_of(data, "the data of a signal")))


def _member(answer: Answer, name: str) -> Any:
    """Raises TaskServiceError."""
    document = answer.json()
    if not isinstance(document, dict) or name not in document:
        raise TaskServiceError(f"the answer is not that of a task service: it has no {name!r}")
    return document[name]
