"""The documented shapes against real answers: every field that is sent is documented, with its type."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from quart_app.web.openapi import shapes
from quart_app.web.openapi.shapes_of_statistics import Chart
from tests.web.site import Site


def fields(value: Any) -> Any:
    """The names in a document, without its values."""
    if isinstance(value, dict):
        return {name: fields(one) for name, one in value.items()}
    return [fields(one) for one in value] if isinstance(value, list) else None


def assert_documented(document: Any, shape: type) -> None:
    """It has the shape, and nothing that the shape does not name."""
    known = msgspec.to_builtins(msgspec.convert(document, shape))
    assert fields(document) == fields(known)


async def test_tasks_are_as_documented(site: Site) -> None:
    done = await site.run("steps", query="?tag=a")
    open_task = await site.task(await site.make("echo", {"value": {"a": 1}}, "?delay=3600"))
    for task in (done, open_task, await site.run("fail-twice")):
        assert_documented(task, shapes.Task)
    page = (await site.get("/tasks?fields=args,result&limit=2")).json
    assert page["next"]
    for task in page["tasks"]:
        task.pop("args"), task.pop("result")
        assert_documented(task, shapes.ListedTask)
    assert page.keys() == set(shapes.TaskPage.__struct_fields__)


async def test_what_creating_answers_is_as_documented(site: Site) -> None:
    made = await site.post("/tasks/echo", {}, {"Idempotency-Key": "one"})
    assert_documented(made.json, shapes.CreatedTask)
    batch = [{"kind": "echo", "idempotency_key": "two"}]
    for _ in range(2):
        assert_documented((await site.post("/tasks", batch)).json, shapes.CreatedTasks)


async def test_the_history_is_as_documented(site: Site) -> None:
    failed = await site.run("steps")
    history = (await site.get(f"/tasks/{failed['task_id']}/history")).json
    assert history["attempts"][0]["error"]
    assert history["steps"]
    assert_documented(history, shapes.History)


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/health", shapes.Health),
        ("/ready", shapes.Health),
        ("/status", shapes.ServerStatus),
        ("/stats", Chart),
        ("/", shapes.Visit),
        ("/hello", shapes.Visit),
        ("/start/1/2", shapes.StartedSum),
    ],
)
async def test_answers_are_as_documented(site: Site, path: str, shape: type) -> None:
    await site.run("echo")
    assert_documented((await site.get(path)).json, shape)


@pytest.mark.parametrize("kind", ["echo", "fail", "hold"])
async def test_the_simple_status_is_as_documented(site: Site, kind: str) -> None:
    task_id = await site.held() if kind == "hold" else (await site.run(kind))["task_id"]
    assert_documented((await site.get(f"/status/{task_id}")).json, shapes.SimpleStatus)


@pytest.mark.parametrize(("path", "body"), [("/tasks/none", {}), ("/tasks/echo", {"x": 1}), ("/tasks", [])])
async def test_problems_are_as_documented(site: Site, path: str, body: Any) -> None:
    assert_documented((await site.post(path, body)).json, shapes.Problem)
