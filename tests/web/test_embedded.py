"""The service inside somebody's Quart app, under a prefix of its own."""

from __future__ import annotations

from pathlib import Path

from quart import Quart

from quart_app.app import QuartTasks
from quart_app.settings import Settings
from tests.web import kinds
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
