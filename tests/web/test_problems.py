"""Every error is one problem document, whatever is wrong."""

from __future__ import annotations

import logging

import pytest

from tests.hostile.corpus.targets import ALLOWED
from tests.web.conftest import Serve
from tests.web.site import Site, assert_problem


@pytest.mark.parametrize("path", ALLOWED)
async def test_another_method_is_405_and_names_those_that_work(site: Site, path: str) -> None:
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"} - ALLOWED[path]:
        answer = await site.request(method, path)
        assert_problem(answer, 405)
        allowed = {name.strip() for name in answer.headers["Allow"].split(",")}
        assert allowed - {"HEAD", "OPTIONS"} == ALLOWED[path]
    assert await site.total() == 0


@pytest.mark.parametrize("path", ALLOWED)
async def test_options_names_the_methods_and_starts_nothing(site: Site, path: str) -> None:
    answer = await site.request("OPTIONS", path)
    assert answer.status == 200
    assert ALLOWED[path] <= {name.strip() for name in answer.headers["Allow"].split(",")}
    assert await site.total() == 0


@pytest.mark.parametrize(
    "path", ["/nowhere", "/tasks/a/b/c", "/tasks/", "/start/1", "/start/1/2/3", "/static/x", "/%00"]
)
async def test_an_unknown_path_is_404(site: Site, path: str) -> None:
    assert_problem(await site.get(path), 404)


async def test_a_fault_of_ours_shows_a_number_and_no_trace(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async with serve() as site:

        async def broken() -> str:
            raise RuntimeError("a secret of the server")

        # A route that a person added to this app and got wrong.
        site.app._got_first_request = False
        site.app.add_url_rule("/broken", "broken", broken)
        with caplog.at_level(logging.ERROR, logger="quart_app"):
            answer = await site.get("/broken")
    document = assert_problem(answer, 500)
    assert b"secret" not in answer.body
    assert b"Traceback" not in answer.body
    assert document["id"] in document["detail"]
    (record,) = [one for one in caplog.records if one.exc_info is not None]
    assert document["id"] in record.getMessage()


async def test_a_problem_type_names_the_kind_of_problem(site: Site) -> None:
    types = {
        (await site.post("/tasks/unknown", {})).json["type"],
        (await site.get("/tasks/unknown")).json["type"],
        (await site.post("/tasks/echo", b"{")).json["type"],
        (await site.post("/tasks/strict", {})).json["type"],
        (await site.post("/tasks", [])).json["type"],
    }
    assert len(types) == 4  # the last two are both about the args
    assert "about:blank" not in types


async def test_a_pointer_problem_says_what_is_wrong_there(site: Site) -> None:
    document = assert_problem(await site.post("/tasks/strict", {"x": "one"}), 422, "/x")
    assert "int" in document["errors"][0]["detail"]


async def test_too_many_header_fields_are_431(site: Site) -> None:
    answer = await site.get("/health", [(f"X-{n}", "v") for n in range(200)])
    assert_problem(answer, 431)


async def test_too_large_header_fields_are_431(site: Site) -> None:
    assert_problem(await site.get("/status", {"X-Large": "v" * 20_000}), 431)
