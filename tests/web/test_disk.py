"""Below `QUART_APP_DISK_FLOOR` no new work is taken, and accepted work goes on."""

from __future__ import annotations

import asyncio

from tests.web.conftest import Serve
from tests.web.forms import form, send
from tests.web.site import Site, assert_problem


async def test_a_disk_below_the_floor_takes_no_new_work_and_accepted_work_goes_on(serve: Serve) -> None:
    async with serve() as site:
        accepted = await site.make("echo", {"value": 7}, "?delay=0.1")
    async with serve(disk_floor=10**17) as site:
        await low(site)
        refused = await site.post("/tasks/echo", {})
        assert_problem(refused, 503, part="what was accepted goes on")
        assert (refused.json["type"], refused.headers["Retry-After"]) == ("urn:quart-app:problem:disk", "60")
        assert_problem(await site.post("/tasks", [{"kind": "echo"}]), 503)
        assert_problem(await send(site, form(("file", "a", b"x"))), 503)
        assert (await site.ended(accepted))["result"] == 7
        disk = (await site.get("/status")).json["disk"]
        assert disk["floor"] == 10**17
        assert 0 < disk["free"] < 10**17


async def low(site: Site) -> None:
    """Wait for the first look at the disk."""
    while (await site.get("/status")).json["disk"]["free"] is None:  # noqa: ASYNC110 - it rings no bell
        await asyncio.sleep(0.01)


async def test_without_a_floor_nothing_is_refused(serve: Serve) -> None:
    async with serve(disk_floor=0) as site:
        await low(site)
        await site.run("echo")
