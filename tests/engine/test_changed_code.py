"""Tasks that were begun by one version of the code and go on under another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quart_app import TaskContext, task
from quart_app.engine.kind import TaskKind
from tests.engine.engine import Engine, result, until

SEEN: list[str] = []


def note(what: str) -> str:
    SEEN.append(what)
    return what


def version(handler: Any) -> TaskKind[..., Any]:
    return task("changing", max_attempts=2, backoff=(0, 1, 0))(handler)


async def over_two_versions(folder: Path, old: Any, new: Any) -> tuple[Engine, Any]:
    """Run the task under the old code until it is suspended, then under the new code to its end."""
    SEEN.clear()
    first = await Engine(folder, [version(old)], code_version="v1").open()
    handle = await first.enqueue("changing")
    await until(lambda: SEEN and not first.runtime.runner.runs, "the old code to sleep")
    await first.close()
    SEEN.clear()
    second = await Engine(folder, [version(new)], code_version="v2").open()
    return second, await second.end(handle)


async def old_code(ctx: TaskContext) -> list[Any]:
    done = [await ctx.step("a", note, "a"), await ctx.step("b", note, "b")]
    await ctx.sleep(1.2, name="pause")
    return done


async def test_steps_that_are_new_run_and_those_that_are_gone_are_ignored(tmp_path: Path) -> None:
    async def new_code(ctx: TaskContext) -> list[Any]:
        done = [await ctx.step("new", note, "new"), await ctx.step("b", note, "b again")]
        await ctx.sleep(1.2, name="pause")
        return done

    engine, ended = await over_two_versions(tmp_path, old_code, new_code)
    assert result(ended) == ["new", "b"]
    assert SEEN == ["new"], "b is on record, and a is asked for no more"
    _, steps, _ = await engine.history(ended)
    assert {step.name for step in steps} == {"a", "b", "pause", "new"}
    await engine.close()


async def test_the_order_of_named_things_may_change(tmp_path: Path) -> None:
    async def new_code(ctx: TaskContext) -> list[Any]:
        await ctx.sleep(1.2, name="pause")
        return [await ctx.step("b", note, "again"), await ctx.step("a", note, "again")]

    engine, ended = await over_two_versions(tmp_path, old_code, new_code)
    assert (result(ended), SEEN) == (["b", "a"], [])
    await engine.close()


async def test_a_name_that_is_another_thing_now_is_a_clear_error(tmp_path: Path) -> None:
    async def new_code(ctx: TaskContext) -> None:
        await ctx.step("pause", note, "never")

    engine, ended = await over_two_versions(tmp_path, old_code, new_code)
    assert (ended.status, ended.error_type) == ("failed", "ValueError")
    assert "'pause' is on record as a sleep" in str(ended.error_message)
    assert SEEN == []
    await engine.close()


async def test_each_attempt_keeps_the_version_that_ran_it(tmp_path: Path) -> None:
    engine, ended = await over_two_versions(tmp_path, old_code, old_code)
    assert ended.code_version == "v2"
    events, _, _ = await engine.history(ended)
    assert [event.data for event in events if event.cause == "claim" and event.name == "status"] == [
        '{"code_version":"v1"}',
        '{"code_version":"v2"}',
    ]
    await engine.close()
