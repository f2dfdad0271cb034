"""`/dashboard/queues` and `/dashboard/limits`: what waits where, and how much may run; for administrators."""

from __future__ import annotations

from typing import Final

from msgspec import UNSET, UnsetType
from quart import Blueprint, Response

from quart_app.core.audit_acts import ActName
from quart_app.core.claim_limits import MAX_CONCURRENCY, NAME_PATTERN, Off, Rate, rate
from quart_app.core.errors import InvalidInput
from quart_app.dashboard.frame import Frame
from quart_app.web.app_state import this_request
from quart_app.web.messages import parse
from quart_app.web.protection.auth import actor

PAGE: Final = 100
QUEUES: Final[dict[str, parse.Reader]] = {"after": parse.name_text, "said": parse.text(0, 50)}
LIMITS: Final[dict[str, parse.Reader]] = {
    "after": parse.pattern(NAME_PATTERN, "the name of a limit"),
    "said": parse.text(0, 50),
}
OFF: Final = "off"
_MANY: Final = parse.integer(1, MAX_CONCURRENCY)


class QueuePages:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._state = frame.state

    def register(self, made: Blueprint) -> None:
        self._frame.add(made, "/dashboard/queues", self.queues, "admin")
        self._frame.add(made, "/dashboard/queues/<queue>/pause", self.pause, "admin", "POST")
        self._frame.add(made, "/dashboard/queues/<queue>/resume", self.resume, "admin", "POST")
        self._frame.add(made, "/dashboard/queues/<queue>/set", self.set_queue, "admin", "POST")
        self._frame.add(made, "/dashboard/limits", self.limits, "admin")
        self._frame.add(made, "/dashboard/limits/<limit>/set", self.set_limit, "admin", "POST")

    async def queues(self) -> Response:
        query = parse.query(this_request(), QUEUES)
        return await self._queues(query.get("after", ""))

    async def _queues(self, after: str = "", wrong: str = "", status: int = 200) -> Response:
        found = await self._state.claim_limits.queues(after, PAGE + 1)
        following = found[PAGE - 1].name if len(found) > PAGE else None
        return self._frame.page("queues.html", "Queues", status, queues=found[:PAGE], following=following, wrong=wrong)

    async def pause(self, queue: str) -> Response:
        return await self._pause(queue, "queue.pause")

    async def resume(self, queue: str) -> Response:
        return await self._pause(queue, "queue.resume")

    async def _pause(self, queue: str, name: ActName) -> Response:
        await self._frame.form()
        queue = parse.name_text("the name of the queue", queue)
        paused = name == "queue.pause"
        act = self._state.audit_log.act(name, actor(this_request()), queue)
        await self._state.audit_log.done(act, self._state.claim_limits.pause_queue(queue, paused))
        return self._frame.go("dashboard/queues", "paused" if paused else "resumed")

    async def set_queue(self, queue: str) -> Response:
        """Set both figures of a queue; one that is left empty takes back what was set."""
        sent = await self._frame.form()
        queue = parse.name_text("the name of the queue", queue)
        try:
            many, starts = _many(sent.get("concurrency", "")), _rate(sent.get("rate", ""))
        except InvalidInput as error:
            return await self._queues(wrong=f"The queue {queue} stays as it was: {error}", status=422)
        doing = self._state.claim_limits.change_queue(queue, many, starts)
        act = self._state.audit_log.act("queue.change", actor(this_request()), queue, _told(many, starts))
        await self._state.audit_log.done(act, doing)
        return self._frame.go("dashboard/queues", "changed")

    async def limits(self) -> Response:
        return await self._limits(parse.query(this_request(), LIMITS).get("after", ""))

    async def _limits(self, after: str = "", wrong: str = "", status: int = 200) -> Response:
        found = await self._state.claim_limits.limits(after, PAGE + 1)
        following = found[PAGE - 1].name if len(found) > PAGE else None
        return self._frame.page(
            "limits.html", "Limits", status, limits=found[:PAGE], following=following, wrong=wrong, off=OFF
        )

    async def set_limit(self, limit: str) -> Response:
        """Override both figures of a limit. One that is left empty is as the code says; `off` lifts it."""
        sent = await self._frame.form()
        try:
            many: int | Off | UnsetType | None = (
                "off" if sent.get("concurrency") == OFF else _many(sent.get("concurrency", ""))
            )
            starts: Rate | Off | UnsetType | None = "off" if sent.get("rate") == OFF else _rate(sent.get("rate", ""))
        except InvalidInput as error:
            return await self._limits(wrong=f"The limit {limit[:120]} stays as it was: {error}", status=422)
        doing = self._state.claim_limits.change_limit(limit, many, starts)
        act = self._state.audit_log.act("limit.change", actor(this_request()), limit, _told(many, starts))
        await self._state.audit_log.done(act, doing)
        return self._frame.go("dashboard/limits", "changed")


def _many(text: str) -> int | None:
    """Raises InvalidInput."""
    found: int | None = _MANY("at once", text.strip()) if text.strip() else None
    return found


def _rate(text: str) -> Rate | None:
    """Raises InvalidInput."""
    try:
        return rate(text.strip()) if text.strip() else None
    except ValueError as error:
        raise InvalidInput(str(error)) from None


def _told(many: object, starts: object) -> str:
    """For the audit log, as the routes say it."""
    shown = {name: value for name, value in (("concurrency", many), ("rate", starts)) if value is not UNSET}
    return "; ".join(f"{name} {value or 'null'}" for name, value in shown.items())
