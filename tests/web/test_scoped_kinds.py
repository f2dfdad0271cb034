"""`@task(scope="admin")`, `QUART_APP_EXAMPLES`: who may start what, and what there is to start."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from quart import Quart

from quart_app import TaskContext, task
from quart_app.app import QuartTasks
from quart_app.core.errors import ConfigError, ScopeNeeded
from quart_app.engine.kind import TaskKind
from quart_app.settings import Settings
from tests.web import kinds
from tests.web.conftest import Serve
from tests.web.site import Site, assert_problem
from tests.web.test_keys import ANN, KEYS, bearer, stored

A = bearer(ANN)
EVERY = {"every": 3600}


@task("relay")
async def relay(ctx: TaskContext) -> str:
    """Starts, for whoever started it, what is not for everybody."""
    return (await ctx.enqueue("cleanup")).id


@task("bulk")
async def own_bulk() -> None:
    pass


@task("cleanup")
async def own_cleanup() -> str:
    return "the app's own"


@pytest.mark.parametrize("kind", ["cleanup", "stats-update"])
async def test_kinds_that_touch_everybodys_rows_are_for_admins(serve: Serve, kind: str) -> None:
    async with serve(api_keys=KEYS) as site:
        refused = await site.post(f"/tasks/{kind}", {}, A)
        assert_problem(refused, 403, part="admin")
        assert refused.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope", scope="admin"'
        assert_problem(await site.post("/tasks", {"kind": kind}, A), 403)
        assert_problem(await site.post("/tasks", [{"kind": "echo"}, {"kind": kind}], A), 403)
        assert_problem(await site.post("/schedules", {"name": "mine", "kind": kind, **EVERY}, A), 403)
        await site.post("/schedules", {"name": "mine", "kind": "echo", **EVERY}, A)
        assert_problem(await site.request("PATCH", "/schedules/mine", {"kind": kind}, A), 403)
        admin = await stored(site, "chief", "admin")
        assert site.sql("SELECT count(*) FROM tasks") == [(0,)]
        assert (await site.post(f"/tasks/{kind}", {}, admin)).status == 202
        assert (await site.post("/schedules", {"name": "ours", "kind": kind, **EVERY}, admin)).status == 201


async def test_a_handler_starts_no_more_than_who_started_it_may(tmp_path: Path) -> None:
    app = Quart("somebody")
    settings = Settings(data_dir=str(tmp_path), drain_seconds=0.0, api_keys=KEYS, schedules=0)
    tasks = QuartTasks(app, settings, tasks=[relay])
    async with app.test_app():
        site = Site(app, settings)
        done = (await site.post("/tasks/relay", {}, {**A, "Prefer": "wait=20"})).json
        assert (done["status"], done["error"]["type"]) == ("failed", "ScopeNeeded")
        with pytest.raises(ScopeNeeded):
            await tasks.runtime.service.enqueue_kind("cleanup", {}, {"owner": "ann"})
        assert (await tasks.runtime.service.enqueue_kind("cleanup", {}, {})).id


async def test_a_schedule_and_a_rerun_of_one_who_is_no_admin_any_more_do_nothing(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        admin = await stored(site, "chief", "admin")
        task_id = await site.make("cleanup", {}, "?delay=3600", admin)
        await site.post(f"/tasks/{task_id}/cancel", headers=admin)
        await site.post("/schedules", {"name": "ours", "kind": "cleanup", **EVERY}, admin)
        other = await stored(site, "other", "admin")
        assert (await site.delete("/keys/chief", other)).status == 204
        again = await stored(site, "chief", "read", "write")
        assert_problem(await site.post(f"/tasks/{task_id}/retry", headers=again), 403)
        assert_problem(await site.post("/schedules/ours/trigger", headers=again), 403)
        with closing(sqlite3.connect(site.settings.database_path)) as connection, connection:
            connection.execute("UPDATE schedules SET next_at = 1 WHERE name = 'ours'")
        await site.app.extensions["quart_app"].runtime._scheduler.run_once(
            site.app.extensions["quart_app"].service.now()
        )
        assert site.sql("SELECT count(*) FROM tasks") == [(1,)]
        assert "admin" in (await site.get("/schedules/ours", again)).json["last_error"]


def test_another_scope_is_refused_where_it_stands() -> None:
    with pytest.raises(ConfigError, match="scope is"):
        task("x", scope="root")  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/", "/hello", "/start/1/2", "/cat/1", "/users", "/stream", "/chat", "/api/data"])
async def test_without_examples_their_routes_are_not_there(serve: Serve, path: str) -> None:
    async with serve(examples=0) as site:
        assert (await site.get(path)).status == 404


async def test_without_examples_their_kinds_are_not_there(serve: Serve) -> None:
    async with serve(examples=0) as site:
        for kind in ("send-email", "crawl", "add", "generate-report", "detect-faces"):
            assert_problem(await site.post(f"/tasks/{kind}", {}), 404)
        listed = {one["kind"] for one in (await site.get("/kinds")).json["kinds"]}
        assert listed == {"bulk", "cleanup", "stats-update"} | {
            one.name for one in vars(kinds).values() if isinstance(one, TaskKind)
        }
        paths = (await site.get("/openapi.json")).json["paths"]
        assert not {"/", "/hello", "/chat", "/tasks/crawl", "/tasks/send-email"} & paths.keys()
        assert "/tasks/echo" in paths
        assert (await site.run("echo", {"value": 1}))["result"] == 1


async def test_inside_somebodys_app_they_are_off_unless_asked_for(tmp_path: Path) -> None:
    for given, status in ((None, 404), (0, 404), (1, 202)):
        app = Quart("somebody")
        settings = Settings(data_dir=str(tmp_path / str(given)), drain_seconds=0.0, examples=given)
        QuartTasks(app, settings, tasks=[kinds.echo])
        async with app.test_app():
            assert (await Site(app, settings).post("/tasks/add", {"x": 1, "y": 2})).status == status


async def test_no_kind_of_an_app_is_called_bulk(tmp_path: Path) -> None:
    app = Quart("somebody")
    QuartTasks(app, Settings(data_dir=str(tmp_path)), tasks=[own_bulk])
    with pytest.raises(ConfigError, match="bulk"):
        await app.startup()


async def test_an_app_may_have_a_kind_of_the_name_of_one_that_is_off(tmp_path: Path) -> None:
    app = Quart("somebody")
    settings = Settings(data_dir=str(tmp_path), drain_seconds=0.0)
    QuartTasks(app, settings, tasks=[own_cleanup])
    async with app.test_app():
        assert (await Site(app, settings).run("cleanup"))["result"] == "the app's own"
