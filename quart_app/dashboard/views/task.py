"""`/dashboard/tasks/<id>`: one task, its life, and what can be done with it."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from quart import Blueprint, Response

from quart_app.core import codec
from quart_app.core.errors import InvalidArgs, InvalidInput, StoreUnavailable
from quart_app.core.explanation import Explanation
from quart_app.core.flow import MAX_SIGNAL, MAX_STEP_NAME
from quart_app.core.size_budget import SizeBudget
from quart_app.core.task import Event, Task, TaskFilter
from quart_app.dashboard import texts
from quart_app.dashboard.frame import Frame
from quart_app.dashboard.timeline import timeline
from quart_app.web.app_state import this_request
from quart_app.web.messages import parse
from quart_app.web.protection.auth import caller, may_start
from quart_app.web.routes.audit_log import on_record

EVENTS: Final = 1_000  # shown at once; a page that runs scripts follows the others
STEPS: Final = 200  # shown in the table
CHILDREN: Final = 50
BUDGET: Final = 2**20  # bytes of documents on one page
SHOWN: Final = 100_000  # characters of a document; all of it is in the file
QUERY: Final[dict[str, parse.Reader]] = {
    "idle": parse.one_of("show"),
    "after": parse.sequence,
    "said": parse.text(0, 50),
}


class TaskPages:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._state = frame.state

    def register(self, made: Blueprint) -> None:
        of_one = "/dashboard/tasks/<task_id>"
        self._frame.add(made, of_one, self.show)
        self._frame.add(made, f"{of_one}/<document>.json", self.document)
        for name, act in (
            ("cancel", self.cancel),
            ("retry", self.retry),
            ("fork", self.fork),
            ("signal", self.signal),
        ):
            self._frame.add(made, f"{of_one}/{name}", act, "write", "POST")

    # --- reading

    async def show(self, task_id: str) -> Response:
        return await self._page(task_id, parse.query(this_request(), QUERY))

    async def _page(
        self,
        task_id: str,
        query: dict[str, Any],
        wrong: str = "",
        status: int = 200,
        sent: dict[str, str] | None = None,
    ) -> Response:
        request, service = this_request(), self._state.service
        sees = caller(request).sees
        task = await service.get(task_id, sees)
        budget = SizeBudget(BUDGET)
        errors, steps = await service.history(task_id, sees, budget)
        after = query.get("after", 0)
        events = await service.events(task_id, after, EVENTS, budget)
        children = []
        if task.children:
            children = await service.find(TaskFilter(owner=sees, parent=task_id, limit=CHILDREN))
        told = events if not after else await service.events(task_id, 0, EVENTS, budget)
        life = timeline(task, told, errors, steps, service.now(), query.get("idle") == "show")
        return self._frame.page(
            "task.html",
            f"{task.kind} {task_id[:13]}",
            status,
            task=task,
            tags=msgspec.json.decode(task.tags) if task.tags else [],
            why=await self._why(task),
            life=life,
            idle=query.get("idle") == "show",
            after=after,
            steps=steps[:STEPS],
            more_steps=max(len(steps) - STEPS, 0),
            lines=_lines(events),
            read_to=events[-1].seq if events else after,
            more=len(events) == EVENTS or budget.spent,
            children=children,
            args=_shown(task.args),
            result=_shown(task.result),
            percent=_percent(task),
            known=service.registry.get(task.kind) is not None,
            may_retry=may_start(request, task.kind) and "write" in caller(request).scopes,
            awaited=(task.waiting_for or "").removeprefix("signal:") if _awaits_signal(task) else "",
            wrong=wrong,
            sent=sent or {},
        )

    async def _why(self, task: Task) -> Explanation | None:
        if task.ended:
            return None
        try:
            return await self._state.started.explainer.explain(task.id, caller(this_request()).sees)
        except StoreUnavailable:  # it takes too long; the rest of the page does not
            return None

    async def document(self, task_id: str, document: str) -> Response:
        """The args or the result as a file."""
        if document not in ("args", "result"):
            raise InvalidInput("a task has args and a result")
        task = await self._state.service.get(task_id, caller(this_request()).sees)
        text = getattr(task, document) or "null"
        headers = {
            "Content-Type": "application/json",
            "Content-Disposition": f'attachment; filename="{task.kind}-{document}.json"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(text.encode(), headers=headers)

    # --- acting

    async def cancel(self, task_id: str) -> Response:
        await self._frame.form()
        request, service = this_request(), self._state.service
        owned = await service.get(task_id, caller(request).sees)
        doing = service.cancel(task_id)
        at_once = await on_record(self._state, request, "task.cancel", task_id, owned.owner, doing)
        return self._frame.go(f"dashboard/tasks/{task_id}", "cancelled" if at_once else "asked")

    async def retry(self, task_id: str) -> Response:
        sent = await self._frame.form()
        request = this_request()
        sees = caller(request).sees
        owned = await self._state.service.get(task_id, sees)
        step = sent.get("from", "")[:MAX_STEP_NAME]
        doing = self._state.going_back.rerun(task_id, sees, restart=sent.get("restart") == "yes", step=step)
        await on_record(self._state, request, "task.retry", task_id, owned.owner, doing, owned.kind)
        return self._frame.go(f"dashboard/tasks/{task_id}", "retried")

    async def fork(self, task_id: str) -> Response:
        sent = await self._frame.form()
        request = this_request()
        sees = caller(request).sees
        owned = await self._state.service.get(task_id, sees)
        step, text = sent.get("from", "")[:MAX_STEP_NAME] or None, sent.get("args", "").strip()
        try:
            args = codec.decode(text.encode()) if text else None
            if args is not None and type(args) is not dict:
                raise InvalidInput("the args must be a JSON object")
            doing = self._state.going_back.fork(task_id, step, args, sees)
            made = await on_record(self._state, request, "task.fork", task_id, owned.owner, doing, owned.kind)
        except (InvalidInput, InvalidArgs) as error:
            return await self._page(task_id, {}, f"No fork was made: {error}", 422, sent)
        return self._frame.go(f"dashboard/tasks/{made.id}", "forked")

    async def signal(self, task_id: str) -> Response:
        sent = await self._frame.form()
        try:
            await send_signal(self._frame, task_id, sent.get("name", ""), sent.get("data", ""))
        except (InvalidInput, InvalidArgs) as error:
            return await self._page(task_id, {}, f"No signal was sent: {error}", 422, sent)
        return self._frame.go(f"dashboard/tasks/{task_id}", "signalled")


async def send_signal(frame: Frame, task_id: str, name: str, text: str) -> None:
    """Send a signal with the JSON in `text`; none: null. Raises InvalidInput, and as `Family.signal`."""
    request, state = this_request(), frame.state
    name = parse.name_text("the name of the signal", name)
    data = codec.compact(codec.decode(text.encode())) if text.strip() else "null"
    if len(data.encode()) > MAX_SIGNAL:
        raise InvalidInput(f"signals are limited to {MAX_SIGNAL} bytes of JSON")
    owned = await state.service.get(task_id, caller(request).sees)
    sending = state.family.signal(task_id, name, data, None, caller(request).sees)
    await asyncio.shield(on_record(state, request, "task.signal", task_id, owned.owner, sending))


def _awaits_signal(task: Task) -> bool:
    return task.status == "pending" and (task.waiting_for or "").startswith("signal:")


def _lines(events: list[Event]) -> list[dict[str, Any]]:
    """What the handler said: its log and its output."""
    found = []
    for one in events:
        if one.name == "log":
            line = codec.loads(one.data or "{}")
            text, extra = str(line.get("message", "")), line.get("fields")
            found.append(_line(one, str(line.get("level", "")), text, codec.encode(extra) if extra else ""))
        elif one.name == "output":
            said = msgspec.json.decode(one.data or "{}", type=dict[str, msgspec.Raw])
            found.append(_line(one, "", bytes(said.get("data", msgspec.Raw(b"null"))).decode(), ""))
    return found


def _line(one: Event, level: str, text: str, extra: str) -> dict[str, Any]:
    return {"at": one.at, "event": one.name, "level": level, "text": text, "extra": extra}


def _shown(text: str | None) -> str | None:
    """A document as the page shows it; None: there is none."""
    if text is None:
        return None
    shown = texts.pretty(text) if len(text) <= SHOWN else text
    return shown if len(shown) <= SHOWN else shown[:SHOWN] + "\n… (the rest is in the file)"


def _percent(task: Task) -> float | None:
    if task.done is None or not task.total:
        return None
    return min(max(100 * task.done / task.total, 0.0), 100.0)
