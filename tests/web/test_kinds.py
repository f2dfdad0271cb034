"""`GET /kinds` and `GET /kinds/<kind>`: what can be started, with which args."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.web.conftest import Serve
from tests.web.site import KINDS, Site, assert_problem


@pytest.fixture
async def site(serve: Serve) -> AsyncIterator[Site]:
    async with serve(tasks=f"{KINDS},{KINDS.with_name('typed_kinds.py')}") as served:
        yield served


async def test_every_registered_kind_is_listed_by_name(site: Site) -> None:
    listed = [one["kind"] for one in (await site.get("/kinds")).json["kinds"]]
    assert listed == sorted(listed)
    assert {"add", "request-audit", "send-email", "echo", "draw", "code.check"} <= set(listed)


async def test_a_kind_shows_its_description_schema_and_options(site: Site) -> None:
    kind = (await site.get("/kinds/draw")).json
    schema = kind.pop("args_schema")
    assert kind == {
        "kind": "draw",
        "description": "Draw shapes.\n\nSecond paragraph.",
        "executor": "async",
        "options": {
            "queue": "pictures",
            "priority": 3,
            "max_attempts": 2,
            "backoff": [1, 2, 300],
            "timeout": 5,
            "expires": 600,
            "retention": 60,
            "unique": False,
            "on_duplicate": None,
            "debounce": None,
        },
        "limits": [],
        "paused": False,
    }
    assert schema["required"] == ["shapes"]
    assert schema["properties"]["shapes"] | {"items": ...} == {
        "type": "array",
        "minItems": 1,
        "maxItems": 3,
        "items": ...,
    }
    assert schema["$defs"]["Circle"]["properties"]["radius"]["exclusiveMinimum"] == 0


async def test_a_kind_shows_the_limits_that_the_code_declares(serve: Serve) -> None:
    async with serve(tasks=str(KINDS.with_name("limited_kinds.py"))) as site:
        assert (await site.get("/kinds/for-customer")).json["limits"] == [
            {"name": "shared", "key": "customer", "rate": "1000/60", "concurrency": 1}
        ]
        assert (await site.get("/kinds/few")).json["limits"] == [
            {"name": "kind:few", "key": None, "rate": "3/3600", "concurrency": None}
        ]


async def test_a_kind_in_the_list_is_the_kind_itself(site: Site) -> None:
    for kind in (await site.get("/kinds")).json["kinds"]:
        assert (await site.get(f"/kinds/{kind['kind']}")).json == kind


async def test_a_kind_without_args_takes_an_empty_object(site: Site) -> None:
    schema = (await site.get("/kinds/words")).json["args_schema"]
    assert schema == {"type": "object", "properties": {}, "additionalProperties": False}


@pytest.mark.parametrize(("kind", "executor"), [("echo", "async"), ("anything", "thread")])
async def test_the_executor_says_how_it_runs(site: Site, kind: str, executor: str) -> None:
    assert (await site.get(f"/kinds/{kind}")).json["executor"] == executor


async def test_the_schema_and_the_server_agree_on_what_is_accepted(site: Site) -> None:
    rs = pytest.importorskip("jsonschema_rs", reason="SCHEMATHESIS IS NOT INSTALLED: requirements-dev.txt has it")
    validator = rs.validator_for((await site.get("/kinds/draw")).json["args_schema"])
    circle, square = {"type": "circle", "radius": 1.5}, {"type": "square", "side": 10}
    for args, fits in (
        ({"shapes": [circle, square], "colour": "blue"}, True),
        ({"shapes": [square], "at": "2030-01-31T12:00:00Z"}, True),
        ({"shapes": []}, False),
        ({"shapes": [circle] * 4}, False),
        ({"shapes": [{"type": "circle", "radius": 0}]}, False),
        ({"shapes": [{"type": "circle", "radius": 1, "side": 1}]}, False),
        ({"shapes": [{"type": "oval"}]}, False),
        ({"shapes": [square], "colour": "green"}, False),
        ({"shapes": [square], "size": 1}, False),
        ({}, False),
    ):
        assert validator.is_valid(args) is fits, args
        assert (await site.post("/tasks/draw?delay=9", args)).status == (202 if fits else 422), args


async def test_an_unknown_kind_is_404(site: Site) -> None:
    assert_problem(await site.get("/kinds/none"), 404)


async def test_a_query_is_a_mistake(site: Site) -> None:
    assert_problem(await site.get("/kinds?kind=add"), 400)
    assert_problem(await site.get("/kinds/add?full=true"), 400)
