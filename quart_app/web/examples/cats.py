"""`/cat/<n>`, `/cat_async/<n>`, `/cat_async_limited/<n>`: n cat facts as a JSON list. Each request starts a task. When
the task takes long, the answer is its address."""

from __future__ import annotations

from typing import Any, Final

from quart import Blueprint, Response

from quart_app.core import codec
from quart_app.core.errors import WrongState
from quart_app.core.task import Enqueued, Task
from quart_app.core.task_request import EnqueueOptions, TaskRequest
from quart_app.web.app_state import AppState, this_request
from quart_app.web.examples.reports import send
from quart_app.web.messages import parse, render
from quart_app.web.messages.problems import problem
from quart_app.web.protection.auth import caller, require
from quart_app.web.protection.request_checks import refuse_unasked

AMOUNT: Final = parse.integer(0, 10_000)
WAIT: Final = 60.0  # seconds


class CatViews:
    def __init__(self, state: AppState) -> None:
        self._state = state

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_cats", __name__)
        for rule, view in (
            ("/cat/<n>", self.one_by_one),
            ("/cat_async/<n>", self.all_at_once),
            ("/cat_async_limited/<n>", self.limited),
        ):
            made.add_url_rule(rule, view.__name__, view)
        return made

    async def one_by_one(self, n: str) -> Response:
        return await self._facts("cat-facts", n)

    async def all_at_once(self, n: str) -> Response:
        return await self._facts("cat-facts-async", n)

    async def limited(self, n: str) -> Response:
        return await self._facts("cat-facts-limited", n)

    async def _facts(self, kind: str, n: str) -> Response:
        request = this_request()
        require(request, "write")
        parse.query(request, {})
        refuse_unasked(request)
        wait = parse.prefer_wait(request)
        if wait is None:
            wait = 0.0 if parse.prefers_async(request) else WAIT
        asked = TaskRequest(kind, {"n": AMOUNT("n", n)}, EnqueueOptions(owner=caller(request).name))
        (made,) = await self._state.service.accept([asked])
        task = await self._state.keys.during(caller(request), self._state.service.wait(made.id, wait))
        match task.status:
            case "completed":
                return await self._list(task)
            case "failed":
                return self._failed(task)
            case "cancelled":
                raise WrongState(f"the task {task.id} was cancelled", task.status)
            case status:
                return render.created(Enqueued(made.id, status), "The facts are being collected", self._state.prefix)

    async def _list(self, task: Task) -> Response:
        """The facts as a JSON list, also when the result only names the file that has them."""
        if task.result is None or task.result.startswith("["):
            return render.answer(render.raw(task.result))
        return await send(self._state, codec.loads(task.result)["file_url"].rpartition("/")[2], {})

    def _failed(self, task: Task) -> Response:
        late = task.error_type in ("UpstreamTimeout", "timeout")
        detail = f"{task.error_type}: {task.error_message}"
        place: dict[str, Any] = {"task_id": task.id, **render.urls(task.id, self._state.prefix)}
        if late:
            return problem(504, "upstream-timeout", "Gateway Timeout", detail, **place)
        return problem(502, "upstream-error", "Bad Gateway", detail, **place)
