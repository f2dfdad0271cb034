"""What a context reaches beyond its own task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from quart_app.core.task import NewTask
from quart_app.engine.kind import TaskMaker
from quart_app.engine.outbound_limits import OutboundLimits
from quart_app.engine.resources import OpenResources
from quart_app.settings import Settings
from quart_app.store.protocols.flow import FlowStore

if TYPE_CHECKING:
    import httpx

    from quart_app.process.files import Files
    from quart_app.service.bulk import Bulk
    from quart_app.service.maintenance import Maintenance
    from quart_app.service.uploads import Uploads


class ChildMaker(Protocol):
    """The part of the service that checks children before they are made."""

    def children(
        self, kind: str, args: Sequence[Mapping[str, Any]], options: Mapping[str, Any], owner: str
    ) -> list[NewTask]: ...


class Services(Protocol):
    """What a context reaches beyond its own task; the runtime is one."""

    settings: Settings
    files: Files
    maintenance: Maintenance
    bulk: Bulk
    limits: OutboundLimits
    flow_store: FlowStore
    resources: OpenResources

    @property
    def family(self) -> ChildMaker: ...

    @property
    def http(self) -> httpx.AsyncClient: ...

    @property
    def public_http(self) -> httpx.AsyncClient: ...

    @property
    def service(self) -> TaskMaker: ...

    @property
    def uploads(self) -> Uploads: ...

    async def query(self, name: str, params: Mapping[str, object], owner: str) -> list[dict[str, Any]]: ...
