"""What the buttons do, by forms alone: the same as the API, recorded in the same way."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.dashboard.visitor import Visitor
from tests.web.conftest import Serve
from tests.web.site import DEADLINE, Site
from tests.web.test_keys import ANN, KEYS, stored


async def test_the_button_of_an_empty_system_starts_a_task(site: Site, visitor: Visitor) -> None:
    page = await visitor.open()
    assert "Nothing has run here yet" in page.text
    page = await visitor.press(page, "Start stream-words")
    assert page.status == 200
    assert "The task is on record." in page.text
    assert site.sql("SELECT kind FROM tasks") == [("stream-words",)]
    assert "Nothing has run here yet" not in (await visitor.open()).text


async def test_a_form_has_a_field_for_each_arg_and_starts_what_was_entered(site: Site, visitor: Visitor) -> None:
    page = await visitor.open("/kinds/strict")
    fields = page.form("Start").fields
    assert {name for name in fields if name.startswith("arg.")} == {"arg.x", "arg.name"}
    page = await visitor.press(
        page,
        "Start",
        **{"arg.x": "12", "arg.name": "abc", "option.priority": "9", "option.tag": "a b", "option.delay": "3600"},
    )
    task = (await site.get(visitor.place.partition("?")[0].removeprefix("/dashboard"))).json
    assert task["args"] == {"x": 12, "name": "abc"}
    assert (task["priority"], task["tags"], task["status"]) == (9, ["a b"], "pending")
    assert "a b" in page.links


@pytest.mark.parametrize(
    ("entered", "said"),
    [
        ({"arg.x": "twelve"}, "must be a number"),
        ({"arg.x": ""}, "is needed"),
        ({"arg.x": "1.5"}, "Expected `int`"),
        ({"arg.x": "1", "arg.name": "too long"}, "length <= 5"),
        ({"arg.x": "1", "option.priority": "101"}, "priority must be an integer from -100 to 100"),
    ],
)
async def test_a_field_that_does_not_fit_says_so_and_keeps_what_was_entered(
    site: Site, visitor: Visitor, entered: dict[str, str], said: str
) -> None:
    page = await visitor.press(await visitor.open("/kinds/strict"), "Start", **entered)
    assert page.status == 422
    assert said in page.text
    assert entered.items() <= page.form("Start").fields.items()
    assert site.sql("SELECT count(*) FROM tasks") == [(0,)]


async def test_one_like_this_begins_with_its_args(site: Site, visitor: Visitor) -> None:
    task = await site.make("strict", {"x": 5, "name": "q"}, query="?delay=3600")
    page = await visitor.open(f"/tasks/{task}")
    form = (await visitor.follow(page, "Start one like this")).form("Start")
    assert (form.fields["arg.x"], form.fields["arg.name"]) == ("5", "q")


async def test_cancel_ends_a_waiting_task_and_asks_a_running_one(site: Site, visitor: Visitor) -> None:
    later = await site.make("echo", query="?delay=3600")
    page = await visitor.press(await visitor.open(f"/tasks/{later}"), "Cancel")
    assert "The task is cancelled." in page.text
    assert (await site.task(later))["status"] == "cancelled"
    running = await site.held()
    page = await visitor.press(await visitor.open(f"/tasks/{running}"), "Cancel")
    assert "asked to stop" in page.text
    assert (await site.ended(running))["status"] == "cancelled"
    page = await visitor.open(f"/tasks/{running}")
    assert not [form for form in page.forms if "Cancel" in form.buttons]


async def test_cancelling_what_has_ended_meanwhile_is_told(site: Site, visitor: Visitor) -> None:
    task = await site.make("echo", query="?delay=3600")
    page = await visitor.open(f"/tasks/{task}")
    await site.post(f"/tasks/{task}/cancel")
    page = await visitor.press(page, "Cancel")
    assert page.status == 409
    assert "already ended" in page.text


async def test_retry_keeps_what_is_recorded_or_forgets_it(site: Site, visitor: Visitor) -> None:
    task = await site.make("steps")
    assert (await site.ended(task))["status"] == "failed"
    page = await visitor.open(f"/tasks/{task}")
    assert "the gate is shut" in page.text
    assert 'between the steps {"colour":"blue","first":1}' in page.text
    await visitor.press(page, "Retry")
    await site.ended(task)
    page = await visitor.press(await visitor.open(f"/tasks/{task}"), "Retry from here")
    await site.ended(task)
    site.open_gate("steps")
    page = await visitor.press(await visitor.open(f"/tasks/{task}"), "Retry from the start")
    assert "The task runs again." in page.text
    assert (await site.ended(task))["result"] == [3, 4], "it was forgotten twice"


async def test_an_error_is_shown_with_its_traceback(site: Site, visitor: Visitor) -> None:
    task = await site.run("fail", {"message": "on purpose"})
    page = await visitor.open(f"/tasks/{task['task_id']}")
    assert "failed: ValueError on purpose Traceback" in page.text
    assert "raise ValueError(message)" in page.text


async def test_the_address_of_a_form_leads_to_its_page(site: Site, visitor: Visitor) -> None:
    for path, page in (
        ("/queues/default/set", "/queues"),
        ("/kinds/echo/start", "/kinds/echo"),
        ("/tasks/x/fork", "/tasks/x"),
    ):
        await visitor.open(path)
        assert visitor.place == f"/dashboard{page}"


async def test_fork_makes_a_task_with_other_args(site: Site, visitor: Visitor) -> None:
    task = await site.run("echo", {"value": 1})
    page = await visitor.open(f"/tasks/{task['task_id']}")
    wrong = await visitor.press(page, "Fork", args="[1]")
    assert wrong.status == 422
    assert "the args must be a JSON object" in wrong.text
    assert wrong.form("Fork").fields["args"] == "[1]"
    page = await visitor.press(page, "Fork", args='{"value": 2}')
    assert "This is the new task." in page.text
    made = await site.ended(visitor.place.partition("?")[0].rpartition("/")[2])
    assert (made["result"], made["forked_from"]) == (2, task["task_id"])


async def test_who_waits_for_a_signal_gets_it_from_its_page_and_from_the_list(site: Site, visitor: Visitor) -> None:
    task = await site.make("approval")
    await waits(site, task)
    page = await visitor.open(f"/tasks/{task}")
    assert "It waits for the signal approve" in page.text
    assert (await visitor.press(page, "Send", data="{")).status == 422
    await visitor.press(page, "Send", data='{"yes": 1}')
    await waits(site, task, {"yes": 1})
    page = await visitor.open("/waiting")
    assert "approval" in page.links
    page = await visitor.press(page, "Approve")
    assert "The signal is sent." in page.text
    assert (await site.ended(task))["result"] == [{"yes": 1}, {"choice": "approve", "remark": None}]
    assert "No task waits for a signal." in (await visitor.open("/waiting")).text
    other = await site.make("approval")
    for data in ("5", "6"):
        await waits(site, other, *([5] if data == "6" else []))
        page = await visitor.open("/waiting")
        assert (await visitor.press(page, "Send", data="{")).status == 422
        await visitor.press(page, "Send", data=data)
    assert (await site.ended(other))["result"] == [5, 6]


async def waits(site: Site, task: str, *taken: object) -> None:
    """Until it waits for a signal and has taken these."""
    async with asyncio.timeout(DEADLINE):
        while True:
            history = (await site.get(f"/tasks/{task}/history")).json
            got = [step["output"] for step in history["steps"] if step["type"] == "signal"]
            if (await site.task(task))["waiting_for"] == "signal:approve" and got == list(taken):
                return
            await asyncio.sleep(0.005)


async def test_a_paused_queue_and_kind_are_seen_and_resumed(site: Site, visitor: Visitor) -> None:
    await site.run("echo")
    page = await visitor.press(await visitor.open("/queues"), "Pause", "/default/")
    assert "paused" in page.text
    assert (await site.get("/queues/default")).json["paused"]
    await visitor.press(page, "Resume", "/default/")
    assert not (await site.get("/queues/default")).json["paused"]
    page = await visitor.press(await visitor.open("/kinds/echo"), "Pause")
    assert (await site.get("/kinds/echo")).json["paused"]
    await visitor.press(page, "Resume")
    assert not (await site.get("/kinds/echo")).json["paused"]
    assert [act for (act,) in site.sql("SELECT act FROM audit_log ORDER BY seq")] == [
        "queue.pause",
        "queue.resume",
        "kind.pause",
        "kind.resume",
    ]


async def test_figures_of_queues_and_limits_hold_at_once(site: Site, visitor: Visitor) -> None:
    await site.run("echo")
    page = await visitor.open("/queues")
    wrong = await visitor.press(page, "Set", "/default/", concurrency="none")
    assert wrong.status == 422
    assert "The queue default stays as it was: at once must be an integer" in wrong.text
    assert (await visitor.press(page, "Set", "/default/", rate="often")).status == 422
    await visitor.press(page, "Set", "/default/", concurrency="3", rate="10/60")
    queue = (await site.get("/queues/default")).json
    assert (queue["concurrency"], queue["rate_limit"]) == (3, "10/60")
    page = await visitor.open("/limits")
    await visitor.press(page, "Set", "queue%3Aaudit", concurrency="off")
    limits = {one["name"]: one for one in (await site.get("/limits")).json["limits"]}
    assert limits["queue:audit"]["concurrency"] is None
    await visitor.press(await visitor.open("/limits"), "Set", "queue%3Aaudit", concurrency="")
    limits = {one["name"]: one for one in (await site.get("/limits")).json["limits"]}
    assert limits["queue:audit"]["concurrency"] == limits["queue:audit"]["declared"]["concurrency"]


async def test_a_schedule_is_paused_resumed_and_triggered(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        plan = {"name": "nightly", "kind": "echo", "cron": "0 3 * * 1"}
        assert (await site.post("/schedules", plan, {"X-API-Key": ANN})).status == 201
        visitor = Visitor(site)
        await visitor.sign_in(ANN)
        page = await visitor.open("/schedules")
        assert "on Monday at 03:00" in page.text
        assert "cleanup" not in page.text, "another owner's"
        page = await visitor.press(page, "Pause")
        assert (await site.get("/schedules/nightly", {"X-API-Key": ANN})).json["paused"]
        page = await visitor.press(page, "Resume")
        page = await visitor.press(page, "Trigger")
        assert "Triggered: this is its task." in page.text
        assert site.sql("SELECT kind, owner FROM tasks") == [("echo", "ann")]
        assert site.sql("SELECT count(*) FROM audit_log WHERE act LIKE 'schedule%'") == [(0,)], "it is one's own"
        boss = Visitor(site)
        await boss.sign_in((await stored(site, "boss", "admin"))["Authorization"].removeprefix("Bearer "))
        await boss.press(await boss.open("/schedules"), "Pause", "nightly")
        assert site.sql("SELECT act, actor FROM audit_log WHERE act LIKE 'schedule%'") == [
            ("schedule.change", "key:boss")
        ]


async def test_all_tasks_of_an_error_are_retried(site: Site, visitor: Visitor) -> None:
    tasks = [await site.make("steps") for _ in range(3)]
    for task in tasks:
        await site.ended(task)
    page = await visitor.open("/errors")
    assert "NonRetryable in steps" in page.text
    assert "3" in page.text.split()
    listed = await visitor.follow(page, "in steps")
    assert len([address for address in listed.addresses if any(task in address for task in tasks)]) == 3
    site.open_gate("steps")
    page = await visitor.press(page, "Retry all")
    assert "This task acts on all of them." in page.text
    for task in tasks:
        await site.until(task, "completed")
    assert "No task is failed." in (await visitor.open("/errors")).text


async def test_the_list_is_read_page_by_page(site: Site, visitor: Visitor) -> None:
    await site.post("/tasks", [{"kind": "echo", "args": {"value": n}, "delay": 3600} for n in range(120)])
    seen: list[str] = []
    page = await visitor.open("/tasks?q=kind:echo+status:pending")
    while True:
        seen += [address for address in page.addresses if "/tasks/0" in address]
        if "Older" not in page.links:
            break
        page = await visitor.follow(page, "Older")
    assert len(seen) == len(set(seen)) == 120
    assert "Newest" in page.links


async def test_the_bar_finds_a_task_by_its_id(site: Site, visitor: Visitor) -> None:
    task = await site.make("echo", query="?delay=3600")
    await visitor.open(f"/tasks?q={task}")
    assert visitor.place == f"/dashboard/tasks/{task}"


async def test_the_overview_has_counts_queues_slots_and_charts(site: Site, visitor: Visitor) -> None:
    for _ in range(3):
        await site.run("echo")
    await site.ended(await site.make("steps"))
    held = await site.held()
    later = json.dumps({"kind": "echo", "delay": 3600}).encode()
    await site.request("POST", "/tasks", later)
    await site.app.extensions["quart_app"].started.maintenance.update_statistics()
    page = await visitor.open()
    text = page.text
    assert "1 pending 1 processing 3 completed 1 failed 0 cancelled" in text
    assert "1 of 64 in use" in text
    assert "3 completed, 1 failed, 0 cancelled" in text
    assert "half of the runs within" in text
    assert "NonRetryable in steps" in text
    assert (await visitor.open("?name=steps")).text.count("How long steps ran")
    site.open_gate("hold")
    await site.ended(held)
