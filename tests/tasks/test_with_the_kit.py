"""The kinds that the service brings, tested with the kit as users test theirs."""

from __future__ import annotations

import email
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from quart_app.testing import TaskKit
from tests.upstream import Upstream

MAIL = {"subject": "Hello", "body": "How are you?"}


@pytest.fixture
def kit_settings() -> dict[str, Any]:
    return {"simulated_add_seconds": 0, "simulated_steps": "0,0", "simulated_error_rate": 0}


def outbox(kit: TaskKit) -> list[EmailMessage]:
    """The mails that were written instead of sent."""
    files = sorted(Path(kit.settings.data_dir, "outbox").glob("*.eml"))
    return [email.message_from_bytes(file.read_bytes(), EmailMessage) for file in files]


async def test_add(kit: TaskKit) -> None:
    ran = await kit.run_task("add", {"x": 2, "y": 40})
    assert ran.result == 42


async def test_a_visit_starts_an_audit(kit: TaskKit) -> None:
    visit = await (await kit.client.get("/hello?a=1")).get_json()
    kit.assert_enqueued("request-audit", queue="audit", args={"endpoint": "/hello", "query": "a=1"}, count=1)
    await kit.drain()
    assert (await kit.get(visit["request_uuid"])).result == {
        "request_uuid": visit["request_uuid"],
        "endpoint": "/hello",
    }


class TestErrors:
    @pytest.fixture
    def kit_settings(self) -> dict[str, Any]:
        return {"simulated_steps": "0", "simulated_error_rate": 1}

    async def test_an_audit_may_fail(self, kit: TaskKit) -> None:
        ran = await kit.run_task("request-audit", {"endpoint": "/"}, steps={"work-1": None})
        assert (ran.status, ran.error and ran.error.type) == ("failed", "SimulatedError")


async def test_a_mail_is_the_same_one_when_the_server_dies_after_it_is_sent(kit: TaskKit) -> None:
    await kit.crash_at("in step send")
    ran = await kit.run_task("send-email", {"to": "ada@example.org", **MAIL})
    assert ran.result == {"sent_to": "ada@example.org", "sent_at": ran.steps["send"], "subject": "Hello"}
    (mail,) = outbox(kit)
    assert (mail["To"], mail["Subject"]) == ("ada@example.org", "Hello")
    assert ran.id in mail["Message-ID"]


@pytest.mark.parametrize("place", ["before", "in", "after"])
async def test_each_of_many_gets_one_mail_whenever_the_server_dies(kit: TaskKit, place: str) -> None:
    everybody = ["a@example.org", "b@example.org", "c@example.org"]
    await kit.crash_at(f"{place} step 2 b@example.org", kind="send-bulk-email")
    ran = await kit.run_task("send-bulk-email", {"recipients": everybody, **MAIL})
    assert ran.result == {"sent": 3, "failed": []}
    assert sorted(mail["To"] for mail in outbox(kit)) == everybody


async def test_a_refused_recipient_is_in_the_result(kit: TaskKit) -> None:
    refused = {"code": 550, "message": "no such user"}
    ran = await kit.run_task(
        "send-bulk-email",
        {"recipients": ["a@example.org", "b@example.org"], **MAIL},
        steps={"1 a@example.org": None, "2 b@example.org": refused},
    )
    assert ran.result == {"sent": 1, "failed": [{"to": "b@example.org", **refused}]}
    assert outbox(kit) == []


async def test_a_report_counts_the_tasks_of_the_kit(kit: TaskKit) -> None:
    for number in range(3):
        await kit.enqueue("add", {"x": number, "y": 1})
    await kit.drain()
    ran = await kit.run_task("generate-report", {"report_type": "tasks", "filters": {"kind": "add"}, "format": "csv"})
    assert ran.result["rows"] == 3
    lines = (await (await kit.client.get(ran.result["file_url"])).get_data(as_text=True)).splitlines()
    assert [line.split(",")[1] for line in lines] == ["kind", "add", "add", "add"]


async def test_words_go_on_after_a_crash(kit: TaskKit) -> None:
    text = " ".join(f"w{number}" for number in range(25))
    await kit.crash_at("after step words-10")
    words = await kit.enqueue("stream-words", {"text": text, "delay": 0})
    assert await kit.drain() == 2
    assert (await kit.get(words)).steps == {"words-0": 10, "words-10": 20, "words-20": 25}


async def test_the_upkeep_of_the_service_runs_by_hand(kit: TaskKit) -> None:
    assert (await kit.run_task("cleanup")).result == {"rows": 0, "files": []}
    assert (await kit.run_task("stats-update")).status == "completed"


class TestCats:
    @pytest.fixture
    def upstream(self) -> Any:
        with Upstream() as upstream:
            yield upstream

    @pytest.fixture
    def kit_settings(self, upstream: Upstream) -> dict[str, Any]:
        return {"cat_facts_url": upstream.url, "cat_facts_limit": 2, "cat_facts_window": 60}

    async def test_the_time_that_a_limit_costs_passes_at_once(self, kit: TaskKit, upstream: Upstream) -> None:
        began = kit.now()
        ran = await kit.run_task("cat-facts-limited", {"n": 6})
        assert len(ran.result) == 6
        assert 120 <= (kit.now() - began).total_seconds() < 125
        assert upstream.asked == 6

    async def test_facts_that_were_answered_are_not_asked_for_again(self, kit: TaskKit, upstream: Upstream) -> None:
        await kit.crash_at("after step fact-1")
        ran = await kit.run_task("cat-facts", {"n": 2})
        assert len(ran.result) == 2
        assert upstream.asked == 2
