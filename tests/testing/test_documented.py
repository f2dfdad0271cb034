"""docs/how-to/testing.md against the code."""

from __future__ import annotations

import inspect

import msgspec

from quart_app import testing
from quart_app.testing import KitTask, TaskKit
from tests import readme

PAGE = readme.PAGES["docs/how-to/testing.md"]


def test_all_of_the_kit_is_in_the_table_and_nothing_else() -> None:
    listed = {name.removeprefix("await ") for row in readme.rows(PAGE, "of `kit`") for name in readme.code(row[0])}
    of_its_life = {"open", "close", "check"}  # `async with` and the fixture call them
    public = {name for name in dir(TaskKit) if not name.startswith("_")} - of_its_life
    assert {name.partition("(")[0] for name in listed} == public
    for name in listed:
        method = inspect.getattr_static(TaskKit, name.partition("(")[0])
        if "(" in name:
            shown = [one.partition("=")[0].strip(" *") for one in name.partition("(")[2].strip(")").split(",") if one]
            assert shown == list(inspect.signature(method).parameters)[1:], name


def test_all_of_a_task_is_named() -> None:
    text = PAGE[PAGE.index("A task has the names of the API") : PAGE.index("| a fixture that you may override")]
    named = set(" ".join(readme.code(text)).split())
    assert {one.name for one in msgspec.structs.fields(KitTask)} | {"ended"} <= named


def test_all_fixtures_are_named() -> None:
    listed = [name for row in readme.rows(PAGE, "a fixture that you may override") for name in readme.code(row[0])]
    assert sorted(listed) == sorted(
        set(testing.__all__) - {"KitError", "KitTask", "TaskKit", "kit", "pytest_pyfunc_call"}
    )


def test_each_place_of_a_crash_is_one(kit: TaskKit) -> None:
    places = [name.strip('"') for row in readme.rows(PAGE, "place") for name in readme.code(row[0])]
    assert len(places) == 4
    for place in places:
        kit._script.add_crash(place, None)
        assert kit._script.crashes(place.split()[0], None if "end" in place else "NAME", "any")  # type: ignore[arg-type]
