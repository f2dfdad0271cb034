"""`site` is the service with the kinds of kinds.py; `serve(…)` starts it with other settings or kinds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from quart_app.app import create_app
from quart_app.settings import Settings
from tests.web.site import KINDS, Site

if TYPE_CHECKING:
    from tests.mailbox import Mailbox

Serve = Callable[..., AbstractAsyncContextManager[Site]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """`async with serve(queue_limit=3) as site:` one life of the service on the test's own folder. Settings under
    which nothing simulated takes time, unless they are given."""

    @asynccontextmanager
    async def start(**given: Any) -> AsyncIterator[Site]:
        quick = {
            "drain_seconds": 0.0,
            "simulated_steps": "0",
            "simulated_error_rate": 0.0,
            "simulated_add_seconds": 0.0,
            "schedules": 0,  # they fire by the clock on the wall, and tests count tasks
            "cat_facts_url": "http://127.0.0.1:9/",  # nobody is there
        }
        settings = Settings(**{"data_dir": str(tmp_path), "tasks": str(KINDS), **quick, **given})
        app = create_app(settings)
        async with app.test_app():
            yield Site(app, settings)
            # A server is told to stop by a signal, which comes before its lifespan ends; test_stop.py does without.
            runtime = app.extensions["quart_app"].runtime
            runtime.begin_drain()
            await runtime.dispatcher.stop()

    return start


@pytest.fixture
async def site(serve: Serve) -> AsyncIterator[Site]:
    async with serve() as served:
        yield served


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    """A mail server, for a setting such as `smtp_url=f"smtp://127.0.0.1:{mailbox.port}"`."""
    from tests.mailbox import Mailbox  # skips the test where there is no aiosmtpd

    box = Mailbox()
    async with box.serve():
        yield box
