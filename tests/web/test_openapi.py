"""`GET /openapi.json`: the document is made from the code, so it must be whole, valid, and true of this server."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from quart import Quart

from quart_app import QuartTasks
from quart_app.settings import Settings
from quart_app.web.messages.options import BatchItem
from quart_app.web.protection.auth import OPEN
from tests.web import kinds, typed_kinds
from tests.web.conftest import Serve
from tests.web.site import KINDS, Site, assert_problem

TYPED = KINDS.with_name("typed_kinds.py")
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture
async def site(serve: Serve) -> AsyncIterator[Site]:
    async with serve(tasks=f"{KINDS},{TYPED}") as served:
        yield served


async def document(site: Site, path: str = "/openapi.json") -> dict[str, Any]:
    answer = await site.get(path)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    found: dict[str, Any] = json.loads(answer.body)
    return found


def operations(found: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in found["paths"].items():
        assert methods.keys() <= METHODS
        for method, operation in methods.items():
            yield path, method, operation


def resolved(found: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """What a local reference points at."""
    while "$ref" in node:
        target: Any = found
        for name in node["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        node = target
    return node


async def test_it_has_every_route_and_no_other(site: Site) -> None:
    routes = set()
    for rule in site.app.url_map.iter_rules():
        path = re.sub(r"<([^>]*)>", r"{\1}", rule.rule)
        if rule.endpoint != "static" and not rule.websocket:
            routes |= {(path, method.lower()) for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}
    routes.remove(("/tasks/{kind}", "post"))
    routes |= {(f"/tasks/{one['kind']}", "post") for one in (await site.get("/kinds")).json["kinds"]}
    assert {(path, method) for path, method, _ in operations(await document(site))} == routes


async def test_every_operation_has_a_name_of_its_own_and_says_what_it_does(site: Site) -> None:
    described = [operation for _, _, operation in operations(await document(site))]
    names = [operation["operationId"] for operation in described]
    assert len(set(names)) == len(names)
    assert all(operation["summary"] and operation["tags"] for operation in described)


async def test_it_is_valid_openapi_3_1(site: Site) -> None:
    openapi = pytest.importorskip("schemathesis.openapi", reason="SCHEMATHESIS IS NOT INSTALLED: requirements-dev.txt")
    found = await document(site)
    assert found["openapi"].startswith("3.1")
    openapi.from_dict(found).validate()


async def test_every_schema_in_it_is_valid_and_every_reference_leads_somewhere(site: Site) -> None:
    rs = pytest.importorskip("jsonschema_rs", reason="SCHEMATHESIS IS NOT INSTALLED: requirements-dev.txt has it")
    found = await document(site)
    for schema in found["components"]["schemas"].values():
        rs.validator_for({**schema, "components": found["components"]})
    references = re.findall(r'"\$ref":"([^"]*)"', json.dumps(found, separators=(",", ":")))
    assert references
    for reference in set(references):
        assert resolved(found, {"$ref": reference})


async def test_every_example_fits_its_schema_and_the_server_takes_it(site: Site) -> None:
    rs = pytest.importorskip("jsonschema_rs", reason="SCHEMATHESIS IS NOT INSTALLED: requirements-dev.txt has it")
    found = await document(site)
    seen = set()
    for path, method, operation in operations(found):
        for media in operation.get("requestBody", {}).get("content", {}).values():
            if "example" in media:
                validator = rs.validator_for({**media["schema"], "components": found["components"]})
                assert validator.is_valid(media["example"]), path
                answer = await site.request(
                    method.upper(), f"{path}?delay=9" * (path != "/tasks") or path, media["example"]
                )
                assert answer.status == 202, (path, answer.body)
                seen.add(path)
    created = {path for path, _, operation in operations(found) if operation["operationId"].startswith("create.")}
    assert seen == {*created, "/tasks"} - {"/tasks/secret", "/tasks/detect-faces"}


@pytest.mark.parametrize(
    ("method", "path", "good", "bad"),
    [
        ("post", "/keys", {"name": "a", "scopes": ["write"], "kinds": ["add"]}, {"scopes": ["read", "admin"]}),
        ("post", "/schedules", {"name": "a", "kind": "cleanup", "every": 60}, {"cron": "0 * * * *"}),
        ("patch", "/schedules/a", {"every": 60}, {"cron": "0 * * * *"}),
    ],
)
async def test_what_a_body_must_not_be_is_in_it(
    site: Site, method: str, path: str, good: dict[str, Any], bad: dict[str, Any]
) -> None:
    rs = pytest.importorskip("jsonschema_rs", reason="SCHEMATHESIS IS NOT INSTALLED: requirements-dev.txt has it")
    found = await document(site)
    operation = found["paths"][path.replace("/a", "/{schedule}")][method]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    validator = rs.validator_for({**schema, "components": found["components"]})
    await site.post("/schedules", {"name": "a", "kind": "cleanup", "every": 90} if method == "patch" else {})
    for body in (good | bad, good):
        answer = await site.request(method.upper(), path, body)
        assert validator.is_valid(body) == (answer.status < 300) == (body == good), answer.body


async def test_an_operation_knows_the_args_and_the_defaults_of_its_kind(site: Site) -> None:
    found = await document(site)
    operation = found["paths"]["/tasks/draw"]["post"]
    assert (operation["summary"], operation["description"]) == ("Draw shapes.", "Draw shapes.\n\nSecond paragraph.")
    parameters = [resolved(found, one) for one in operation["parameters"]]
    defaults = {one["name"]: one["schema"]["default"] for one in parameters if "default" in one["schema"]}
    assert defaults == {"queue": "pictures", "priority": 3, "max_attempts": 2, "timeout": 5, "expires": 600}
    body = operation["requestBody"]
    schema = resolved(found, body["content"]["application/json"]["schema"])
    assert body["required"] is True
    assert schema["required"] == ["shapes"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["colour"]["enum"] == ["blue", "red"]
    assert found["paths"]["/tasks/anything"]["post"]["requestBody"]["required"] is False


async def test_a_file_is_the_one_part_of_a_form(site: Site) -> None:
    paths = (await document(site))["paths"]
    for path, part in (("/uploads", "file"), ("/tasks/detect-faces", "photo")):
        form = paths[path]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
        assert (list(form["properties"]), form["required"]) == ([part], [part])
    assert "application/json" in paths["/tasks/detect-faces"]["post"]["requestBody"]["content"]
    assert "501" in paths["/tasks/detect-faces"]["post"]["responses"]


async def test_an_entry_of_a_batch_has_the_fields_that_the_server_reads(site: Site) -> None:
    found = await document(site)
    for variant in found["components"]["schemas"]["NewTask"]["oneOf"]:
        assert resolved(found, variant)["properties"].keys() == set(BatchItem.__struct_fields__)


async def test_it_says_which_operations_ask_for_no_key(site: Site) -> None:
    found = await document(site)
    open_to_all = {path for path, _, operation in operations(found) if operation.get("security") == []}
    assert open_to_all == {*OPEN, "/docs/{file}"}
    assert {"bearer": []} in found["security"]
    for path, _, operation in operations(found):
        assert ("401" in operation["responses"]) is (path not in open_to_all), path


async def test_types_of_two_kinds_and_of_the_project_are_not_confused(site: Site) -> None:
    found = await document(site)
    chain = resolved(found, {"$ref": "#/components/schemas/chain"})
    inner = resolved(found, chain["properties"]["first"])
    assert inner["required"] == ["label"]
    assert resolved(found, inner["properties"]["next"]["anyOf"][0]) == inner


async def test_patterns_are_those_of_json_schema(site: Site) -> None:
    found = await document(site)
    assert found["components"]["schemas"]["code.check"]["properties"]["code"]["pattern"] == "^[A-Z]{3}-[0-9]{2}$"
    assert "\\Z" not in (await site.get("/openapi.json")).body.decode()


async def test_a_created_task_links_to_what_can_be_done_with_it(site: Site) -> None:
    found = await document(site)
    names = {operation["operationId"] for _, _, operation in operations(found)}
    links = found["components"]["responses"]["created"]["links"]
    assert {"tasks.show", "tasks.cancel", "tasks.retry", "tasks.delete", "tasks.history"} <= set(links)
    assert {link["operationId"] for link in links.values()} <= names


async def test_it_is_sent_again_only_when_it_has_changed(site: Site) -> None:
    first = await site.get("/openapi.json")
    again = await site.get("/openapi.json", {"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert (await site.get("/openapi.json", {"If-None-Match": '"other"'})).status == 200


async def test_other_kinds_make_another_document(serve: Serve, site: Site) -> None:
    before = await site.get("/openapi.json")
    assert "/tasks/draw" in before.json["paths"]
    async with serve(tasks=str(KINDS), data_dir=str(site.settings.data_path / "other")) as other:
        after = await other.get("/openapi.json", {"If-None-Match": before.headers["ETag"]})
    assert after.status == 200
    assert "/tasks/draw" not in after.json["paths"]


async def test_before_the_store_is_open_there_is_none(site: Site) -> None:
    app = Quart("starting")
    QuartTasks(app, settings=site.settings)
    assert_problem(await Site(app, site.settings).get("/openapi.json"), 503)


async def test_in_an_existing_app_it_describes_what_is_mounted_there(tmp_path: Any) -> None:
    app = Quart("shop")

    @app.get("/orders")
    async def orders() -> str:
        return "not ours to describe"

    settings = Settings(data_dir=str(tmp_path))
    tasks = QuartTasks(app, settings=settings, url_prefix="/background", tasks=[typed_kinds, kinds.echo])
    async with app.test_app():
        found = await document(Site(app, settings), "/background/openapi.json")
        tasks.runtime.begin_drain()
        await tasks.runtime.dispatcher.stop()
    assert found["servers"] == [{"url": "/background"}]
    assert {"/tasks/draw", "/tasks/echo", "/tasks/{task_id}", "/health", "/docs"} <= found["paths"].keys()
    assert not {"/orders", "/hello", "/background/tasks", "/start/{x}/{y}"} & found["paths"].keys()
