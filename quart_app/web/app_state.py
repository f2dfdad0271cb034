"""How a view reaches the runtime of the app it serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quart import Request, Websocket, request, websocket

from quart_app.core.errors import Draining

if TYPE_CHECKING:
    from quart_app.runtime import Runtime
    from quart_app.service.audit_log import AuditLog
    from quart_app.service.bulk import Bulk
    from quart_app.service.claim_limits import ClaimLimits
    from quart_app.service.client_limits import ClientLimit
    from quart_app.service.error_groups import ErrorGroups
    from quart_app.service.family import Family
    from quart_app.service.going_back import GoingBack
    from quart_app.service.keys import Keys
    from quart_app.service.schedules import Schedules
    from quart_app.service.stacks import StackReader
    from quart_app.service.tasks import TaskService
    from quart_app.settings import Settings

EXTENSION = "quart_app"


class AppState:
    """Kept in `app.extensions["quart_app"]` and passed to the blueprints; `runtime` is None until the store is open."""

    def __init__(self, settings: Settings, prefix: str) -> None:
        self.settings = settings
        self.prefix = prefix
        self.runtime: Runtime | None = None

    @property
    def started(self) -> Runtime:
        """The running engine. Raises Draining when the store is not open yet, or not any more."""
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
    def family(self) -> Family:
        return self.started.family

    @property
    def going_back(self) -> GoingBack:
        return self.started.going_back

    @property
    def bulk(self) -> Bulk:
        return self.started.bulk

    @property
    def error_groups(self) -> ErrorGroups:
        return self.started.error_groups

    @property
    def stacks(self) -> StackReader:
        return self.started.stacks

    @property
    def schedules(self) -> Schedules:
        return self.started.schedules

    @property
    def claim_limits(self) -> ClaimLimits:
        return self.started.claim_limits

    @property
    def clients(self) -> ClientLimit:
        return self.started.clients


def this_websocket() -> Websocket:
    found: Websocket = websocket._get_current_object()  # type: ignore[attr-defined]
    return found


def this_request() -> Request:
    """The request itself. Each attribute of the `request` proxy would cost a look-up."""
    found: Request = request._get_current_object()  # type: ignore[attr-defined]
    return found
