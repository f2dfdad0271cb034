"""The service inside somebody's Quart app, under a prefix of its own."""

from __future__ import annotations

import inspect
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from quart import Quart, current_app

from quart_app import TaskContext, around, resource, task
from quart_app.app import QuartTasks, create_app
from quart_app.core.errors import StoreBroken
from quart_app.settings import Settings
from tests.web import kinds
from tests.web.forms import form, send, stored
from tests.web.site import Site, assert_problem


async def test_the_routes_stand_under_the_prefix_and_every_url_says_so(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path), drain_seconds=0.0)
    app = Quart("somebody")
    QuartTasks(app, settings, tasks=[kinds], url_prefix="/jobs")
    async with app.test_app():
        site = Site(app, settings)
        answer = await site.post("/jobs/tasks/echo", {"value": 1}, {"Prefer": "wait=20"})
        assert answer.status == 200
        task = answer.json
        assert task["status_url"] == f"/jobs/tasks/{task['task_id']}"
        assert task["events_url"] == f"/jobs/tasks/{task['task_id']}/events"
        assert (await site.get(task["status_url"])).json == task
        made = await site.post("/jobs/tasks", [{"kind": "echo"}] * 2)
        assert all(one["status_url"].startswith("/jobs/tasks/") for one in made.json["tasks"])
        page = await site.get("/jobs/tasks?limit=1")
        assert page.json["next"].startswith("/jobs/tasks?")
        assert (await site.get(page.json["next"])).status == 200
        assert_problem(await site.post("/jobs/tasks/echo", b"{"), 400)
        assert (await site.get("/tasks")).status == 404


async def test_arounds_and_resources_are_given_as_kinds_are(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path), drain_seconds=0.0)
    app = Quart("somebody")
    said: list[str] = []

    @resource("greeting")
    async def greeting() -> AsyncIterator[str]:
        yield f"hello from {current_app.name}"
        said.append("closed")

    @around("greets")
    async def session(ctx: TaskContext) -> AsyncIterator[None]:
        ctx.state["greeting"] = await ctx.resource("greeting")
        yield

    @task("greets")
    async def greets(ctx: TaskContext) -> str:
        return str(ctx.state["greeting"])

    QuartTasks(app, settings, tasks=[greets, session, greeting])
    async with app.test_app():
        answer = await Site(app, settings).post("/tasks/greets", {}, {"Prefer": "wait=20"})
        assert answer.json["result"] == "hello from somebody"
        assert said == []
    assert said == ["closed"]


async def test_the_apps_own_routes_and_errors_stay_its_own(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path), drain_seconds=0.0)
    app = Quart("somebody")

    @app.get("/")
    async def index() -> str:
        return "mine"

    QuartTasks(app, settings, tasks=[kinds.echo], url_prefix="/jobs")
    async with app.test_app():
        site = Site(app, settings)
        assert (await site.get("/")).body == b"mine"
        missing = await site.get("/nowhere")
        assert (missing.status, missing.headers["Content-Type"].partition(";")[0]) == (404, "text/html")


async def test_keys_guard_our_routes_under_the_prefix_and_not_the_apps_own(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=str(tmp_path), drain_seconds=0.0, api_keys=f"ann:{'k' * 16}", allowed_origins="https://app.example"
    )
    app = Quart("somebody")

    @app.get("/")
    async def index() -> str:
        return "mine"

    QuartTasks(app, settings, tasks=[kinds.echo], url_prefix="/jobs")
    async with app.test_app():
        site = Site(app, settings)
        assert (await site.get("/")).body == b"mine"
        for path, status in (("/jobs/tasks", 401), ("/jobs/keys", 401), ("/jobs/health", 200), ("/jobs/ready", 200)):
            assert (await site.get(path)).status == status
        key = {"X-API-Key": "k" * 16}
        made = await site.post("/jobs/tasks/echo", {"value": 1}, {**key, "Origin": "https://app.example"})
        assert (made.status, made.headers["Access-Control-Allow-Origin"]) == (202, "https://app.example")
        assert (await site.get(made.json["status_url"], key)).json["owner"] == "ann"
        asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
        assert (await site.request("OPTIONS", "/jobs/tasks/echo", headers=asked)).status == 204
        assert "Vary" not in (await site.get("/")).headers


async def test_files_are_taken_in_up_to_the_smaller_of_two_limits(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path), drain_seconds=0.0, max_upload=5000)
    app = Quart("somebody")
    app.config["MAX_CONTENT_LENGTH"] = 10_000
    QuartTasks(app, settings, tasks=[kinds.echo], url_prefix="/jobs")
    async with app.test_app():
        site = Site(app, settings)
        assert (await send(site, form(("file", "a", b"x" * 5000)), "/jobs/uploads")).status == 201
        assert_problem(await send(site, form(("file", "a", b"x" * 5001)), "/jobs/uploads"), 413)
        assert_problem(await send(site, form(("file", "a", b"x" * 20_000)), "/jobs/uploads"), 413)
        assert stored(site) == [b"x" * 5000]


async def test_without_keys_our_routes_answer_this_machine_alone(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path), drain_seconds=0.0)
    app = Quart("somebody")
    QuartTasks(app, settings, tasks=[kinds.echo], url_prefix="/jobs")
    async with app.test_app():
        site = Site(app, settings)
        assert (await site.get("/jobs/tasks")).status == 200
        stranger = {"server": ("192.0.2.1", 80), "client": ("192.0.2.2", 4000)}
        assert_problem(await site.request("GET", "/jobs/tasks", scope=stranger), 403)


def test_what_a_user_passes_is_all_there_is_to_pass() -> None:
    assert list(inspect.signature(QuartTasks).parameters) == ["app", "settings", "tasks", "url_prefix"]
    assert list(inspect.signature(QuartTasks.init_app).parameters) == ["self", "app"]
    assert list(inspect.signature(create_app).parameters) == ["settings"]


async def test_a_start_that_fails_leaves_the_signals_to_their_owner(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    app = Quart(__name__)
    QuartTasks(app, Settings(data_dir=str(tmp_path / "file")))
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(StoreBroken):
        await app.startup()
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
