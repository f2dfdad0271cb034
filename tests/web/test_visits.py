"""`/` and `/hello`: each visit starts an audit and is answered at once."""

from __future__ import annotations

import os
import re

import pytest

from tests.web.conftest import Serve
from tests.web.site import NOT_ASKED_FOR, Site, assert_problem


async def test_hello_answers_in_the_words_of_the_document(site: Site) -> None:
    answer = await site.get("/hello")
    assert answer.status == 200
    document = answer.json
    assert document["status"] == "success"
    assert document["message"]
    assert document["note"]
    assert document["worker_info"]["pid"] == os.getpid()
    assert document["worker_info"]["worker_class"]
    assert "endpoints" not in document


async def test_the_root_lists_the_endpoints(site: Site) -> None:
    document = (await site.get("/")).json
    assert document["message"]
    assert {"/", "/hello", "/status"} <= set(document["endpoints"])
    assert document["worker_info"]["pid"] == os.getpid()


async def test_the_endpoints_are_all_examples_there_are_and_nothing_else(site: Site) -> None:
    listed = {re.sub("<(.*?)>", r"{\1}", path) for path in (await site.get("/")).json["endpoints"]}
    paths = (await site.get("/openapi.json")).json["paths"]
    assert {path for path, methods in paths.items() if methods.get("get", {}).get("tags") == ["Examples"]} <= listed
    assert listed <= paths.keys() | {"/tasks/{kind}"}


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/json, text/html", "application/json"),
        ("image/png", "application/json"),
        ("\xff;q=x", "application/json"),
        ("text/html", "text/html; charset=utf-8"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8"),
    ],
)
async def test_the_root_is_a_page_for_who_asks_for_one(site: Site, accept: str | None, media: str) -> None:
    answer = await site.get("/", {"Accept": accept} if accept else {})
    assert (answer.status, answer.headers["Content-Type"]) == (200, media)
    assert answer.headers["Vary"] == "Accept"
    assert await site.total() == 1


async def test_the_page_links_to_its_audit_and_to_whatever_can_be_opened(site: Site) -> None:
    page = (await site.get("/", {"Accept": "text/html"})).body.decode()
    links = re.findall('href="([^"]*)"', page)
    (audit,) = [link for link in links if re.fullmatch("tasks/[0-9a-f-]{36}", link)]
    assert (await site.ended(audit.removeprefix("tasks/")))["kind"] == "request-audit"
    assert {"docs", "./status", "./users", "./stream"} <= set(links)
    for link in links:
        assert (await site.request("HEAD", f"/{link.removeprefix('./')}")).status == 200, link


@pytest.mark.parametrize("path", ["/", "/hello"])
async def test_a_visit_starts_an_audit_under_its_uuid(site: Site, path: str) -> None:
    answer = await site.get(f"{path}?a=1&b=%C3%A9", {"User-Agent": "curl/8"})
    task = await site.ended(answer.json["request_uuid"])
    assert (task["kind"], task["queue"], task["status"]) == ("request-audit", "audit", "completed")
    assert task["args"]["user_agent"] == "curl/8"
    assert task["args"]["query"] == "a=1&b=%C3%A9"
    assert task["args"]["ip"]
    assert await site.total() == 1


async def test_each_visit_has_its_own_uuid(site: Site) -> None:
    uuids = {(await site.get("/hello")).json["request_uuid"] for _ in range(5)}
    assert len(uuids) == 5


async def test_an_audit_has_two_recorded_steps_and_logs_every_event_with_the_uuid(serve: Serve) -> None:
    async with serve(simulated_steps="0,0.01") as site:
        uuid = (await site.get("/hello")).json["request_uuid"]
        await site.ended(uuid)
        found = (await site.get(f"/tasks/{uuid}/history")).json
    assert len(found["steps"]) == 2
    assert len(found["logs"]) == 4
    assert all(uuid in line["message"] for line in found["logs"])


async def test_a_simulated_error_fails_the_audit_and_not_the_visit(serve: Serve) -> None:
    async with serve(simulated_error_rate=1.0) as site:
        answer = await site.get("/hello")
        assert (answer.status, answer.json["status"]) == (200, "success")
        task = await site.ended(answer.json["request_uuid"])
        assert (task["status"], task["error"]["type"]) == ("failed", "SimulatedError")


async def test_audits_hold_at_most_a_quarter_of_the_slots(serve: Serve) -> None:
    async with serve(simulated_steps="60", concurrency=8) as site:
        uuids = [(await site.get("/hello")).json["request_uuid"] for _ in range(6)]
        for uuid in uuids[:2]:
            await site.until(uuid, "processing")
        assert (await site.run("echo", {"value": 1}))["result"] == 1  # other queues go on
        assert (await site.get("/status")).json["tasks"]["processing"] == 2


@pytest.mark.parametrize("path", ["/", "/hello"])
@pytest.mark.parametrize(("method", "headers"), NOT_ASKED_FOR)
async def test_head_prefetch_and_other_sites_are_shown_the_page_and_start_nothing(
    site: Site, path: str, method: str, headers: dict[str, str]
) -> None:
    answer = await site.request(method, path, headers=headers)
    assert answer.status == 200
    assert await site.total() == 0


async def test_a_person_who_types_the_address_starts_an_audit(site: Site) -> None:
    headers = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "User-Agent": "Mozilla/5.0"}
    assert (await site.get("/hello", headers)).json["request_uuid"]
    assert await site.total() == 1


@pytest.mark.parametrize("agent", ["\x1b[31m", "caf\xe9", "a" * 9000, "<script>", "", "\t"])
async def test_any_user_agent_can_be_audited(site: Site, agent: str) -> None:
    answer = await site.get("/hello", {"User-Agent": agent})
    assert (await site.ended(answer.json["request_uuid"]))["status"] == "completed"


@pytest.mark.parametrize("query", ["%00", "a=%FF", "&&&", "=" * 900, "a=1&a=2", "%"])
async def test_any_query_can_be_audited(site: Site, query: str) -> None:
    answer = await site.get(f"/hello?{query}")
    assert (await site.ended(answer.json["request_uuid"]))["status"] == "completed"


@pytest.mark.parametrize("path", ["/", "/hello"])
async def test_a_visit_cannot_be_posted(site: Site, path: str) -> None:
    assert_problem(await site.post(path, {}), 405)
    assert await site.total() == 0
