"""The lines in which writes wait: who may go together, and that nobody is overtaken on a key of his."""

from __future__ import annotations

import asyncio
import random

import pytest

from quart_app.store.sqlite.transaction import Call, Write
from quart_app.store.sqlite.waiting_writes import Waiting


async def write(*keys: str, share: str | None = None) -> Write:
    calls = [Call("probe", row={}, key=key) for key in keys]
    if share is not None:
        calls.append(Call("put_event", row={}, key=f"{share}/1", share=share))
    return Write(calls or [Call("probe", params={})], None, None, asyncio.get_running_loop().create_future())


async def test_writes_without_a_common_key_go_together_in_their_order() -> None:
    waiting = Waiting()
    writes = [await write("a"), await write(), await write("b"), await write("c", "d")]
    for one in writes:
        waiting.add(one)
    assert waiting.rows == 5
    assert waiting.take(100) == writes
    assert (waiting.rows, bool(waiting)) == (0, False)


async def test_of_writes_with_one_key_each_waits_for_the_one_before() -> None:
    waiting = Waiting()
    a, b, c, other = await write("k"), await write("k"), await write("k"), await write("x")
    for one in (a, b, c, other):
        waiting.add(one)
    assert [waiting.take(100) for _ in range(3)] == [[a, other], [b], [c]]


async def test_nobody_overtakes_a_write_that_waits_on_any_key_of_it() -> None:
    waiting = Waiting()
    parent, spawn, child, after = await write("p"), await write("p", "c"), await write("c"), await write("p")
    for one in (parent, spawn, child, after):
        waiting.add(one)
    assert [waiting.take(100) for _ in range(3)] == [[parent], [spawn], [child, after]]


async def test_those_that_share_go_together_and_wait_for_one_that_does_not() -> None:
    waiting = Waiting()
    lines = [await write(share="k") for _ in range(3)]
    end, late = await write("k"), [await write(share="k") for _ in range(2)]
    for one in (*lines, end, *late):
        waiting.add(one)
    assert [waiting.take(100) for _ in range(3)] == [lines, [end], late]


async def test_a_turn_takes_about_so_many_rows_and_one_write_at_least() -> None:
    waiting = Waiting()
    writes = [await write("a", "b", "c"), await write("d"), await write("e")]
    for one in writes:
        waiting.add(one)
    assert [waiting.take(1), waiting.take(1), waiting.take(5)] == [[one] for one in writes]


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_comes_all_is_taken_and_the_order_of_each_key_kept(seed: int) -> None:
    chance = random.Random(seed)
    waiting, writes, taken, turns = Waiting(), [], [], []
    while len(taken) < 300:
        for _ in range(chance.randrange(12) if len(writes) < 300 else 0):
            if len(writes) < 300:
                shared = chance.random() < 0.3
                keys = () if shared else tuple(chance.sample("abcdef", chance.randrange(4)))
                writes.append(await write(*keys, share=chance.choice("abcdef") if shared else None))
                waiting.add(writes[-1])
        turn = waiting.take(chance.randrange(1, 9))
        assert turn or not waiting.rows, "somebody waits, and nobody may go"
        turns.append(turn)
        taken += turn
    assert sorted(map(id, taken)) == sorted(map(id, writes))
    for key in "abcdef":
        assert [one for one in taken if key in one.keys] == [one for one in writes if key in one.keys]
    for turn in turns:
        for key in {key for one in turn for key in one.keys}:
            alone = [one for one in turn if one.keys.get(key) is False]
            assert not alone or len([one for one in turn if key in one.keys]) == 1
    assert not waiting._lines


async def test_a_long_line_costs_each_of_its_writes_the_same() -> None:
    waiting = Waiting()
    for _ in range(20_000):
        waiting.add(await write("k"))
    (line,) = waiting._lines.values()
    for left in range(20_000, 0, -1):
        assert len(line) == left
        assert len(waiting._ready) == 1, "the others are not looked at again and again"
        assert len(waiting.take(2_000)) == 1


async def test_at_the_end_everybody_is_told_who_waited_for_others_too() -> None:
    waiting = Waiting()
    writes = [await write("k") for _ in range(5)]
    for one in writes:
        waiting.add(one)
    assert waiting.take_all() == writes
    assert waiting.rows == 0
