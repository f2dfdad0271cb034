"""How a view reaches the runtime of the app it serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quart import Request, Websocket, request, websocket

from quart_app.core.errors import Draining

if TYPE_CHECKING:
    from quart_app.audit_log import AuditLog
    from quart_app.clients import ClientLimit
    from quart_app.keys import Keys
    from quart_app.runtime import Runtime
    from quart_app.schedules import Schedules
    from quart_app.service import TaskService
    from quart_app.settings import Settings

EXTENSION = "quart_app"


class Door:
    """Kept in `app.extensions["quart_app"]` and handed to the blueprints; `runtime` is None until the store is open."""

    def __init__(self, settings: Settings, prefix: str) -> None:
        self.settings = settings
        self.prefix = prefix
        self.runtime: Runtime | None = None

    @property
    def started(self) -> Runtime:
        """Raises Draining when there is no open store (any more)."""
        if self.runtime is None:
            raise Draining("the server is starting")
        return self.runtime

    @property
    def service(self) -> TaskService:
        return self.started.service

    @property
    def keys(self) -> Keys:
        return self.started.keys

    @property
    def audit_log(self) -> AuditLog:
        return self.started.audit_log

    @property
    def schedules(self) -> Schedules:
        return self.started.schedules

    @property
    def clients(self) -> ClientLimit:
        return self.started.clients


def this_websocket() -> Websocket:
    found: Websocket = websocket._get_current_object()  # type: ignore[attr-defined]
    return found


def this_request() -> Request:
    """The request itself: every attribute of the `request` proxy costs a look-up of its own."""
    found: Request = request._get_current_object()  # type: ignore[attr-defined]
    return found
