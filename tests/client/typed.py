"""What a type checker knows of the client and of handles; test_types.py runs mypy on this file."""

from __future__ import annotations

from typing import Any, assert_type

from quart_app import TaskHandle
from quart_app.client import AsyncClient, Client, Event, Explanation, Task
from tests.client.kinds import Price, length, price


async def inside_of_the_app() -> None:
    handle = await price.enqueue(order=1)
    assert_type(handle, TaskHandle[Price])
    assert_type(await handle.result(timeout=3), Price)
    assert_type(await (await length.enqueue_with({"delay": 1}, text="a")).result(), int)
    assert_type(await price(1), Price)
    assert_type(length("a"), int)


def blocking(client: Client) -> None:
    task = client.create(price, {"order": 1}, delay=3)
    assert_type(task, Task[Price])
    assert_type(client.wait(task, timeout=3), Task[Price])
    assert_type(client.wait(task).result_or_raise(), Price)
    assert_type(task.result, Price | None)
    assert_type(client.create(length, {"text": "a"}), Task[int])
    assert_type(client.create("length", {"text": "a"}), Task[Any])
    assert_type(client.wait("id"), Task[Any])
    assert_type(client.wait_many([task]), list[Task[Price]])
    assert_type(client.wait_many(["id", task]), list[Task[Any]])
    assert_type(client.retry(client.cancel(task)), Task[Price])
    assert_type(client.update(client.fork(client.get(task)), priority=1), Task[Price])
    assert_type(client.bulk("cancel", {"kind": "x"}, dry_run=True), int)
    assert_type(client.bulk("cancel", {"kind": "x"}), Task[Any])
    assert_type(client.explain(task), Explanation)
    assert_type(next(iter(client.list())), Task[Any])
    assert_type(next(iter(client.events(task))), Event)


async def awaiting(client: AsyncClient) -> None:
    task = await client.create(price, {"order": 1})
    assert_type((await client.wait(task)).result_or_raise(), Price)
    assert_type(await client.wait_many([task]), list[Task[Price]])
    assert_type(await client.create(length), Task[int])
    async for one in client.list():
        assert_type(one, Task[Any])
    async for event in client.events(task):
        assert_type(event, Event)


def wrong(client: Client) -> None:
    client.wait(3)  # type: ignore[call-overload]
    client.create(price).result_or_raise().no_such_field  # type: ignore[attr-defined]  # noqa: B018
