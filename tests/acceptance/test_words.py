"""`stream-words` and its page while the server is killed and started again: no word is lost, none is out of place."""

from __future__ import annotations

import shutil
from itertools import pairwise
from typing import Any

import pytest

from quart_app.tasks.stream_words import CHUNK, TEXT
from tests.acceptance.followers import Follower
from tests.acceptance.harness import DEADLINE, Server, until
from tests.acceptance.test_streams import following

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
WORDS = TEXT.split()


def outputs(follower: Follower) -> list[dict[str, Any]]:
    return [event["data"] for event in follower.events if event["event"] == "output"]


def test_the_words_over_kills_are_the_text(server: Server) -> None:
    server.start().wait_ready()
    follower = Follower(server.port, f"/tasks/{server.post('stream-words', {'delay': 0.02})}/events")
    with following([follower]):
        for life, reached in enumerate((CHUNK + 3, 4 * CHUNK + 5), 1):
            until(lambda reached=reached: len(outputs(follower)) >= reached, f"{reached} words")  # type: ignore[misc]
            server.kill9()
            server.start().wait_ready()
            until(lambda life=life: follower.connections > life, "the stream again")  # type: ignore[misc]
        until(lambda: follower.done, "the end of the stream")
    assert follower.problems == []
    said = outputs(follower)
    ids = [event["id"] for event in follower.events]
    assert ids == sorted(set(ids)), "every event once, in order"
    assert [one["run"] for one in said] == sorted(one["run"] for one in said)
    runs: dict[int, list[int]] = {}
    for one in said:
        places = runs.setdefault(one["run"], [])
        places.append(one["data"]["at"])
        assert one["n"] == len(places)
    assert sorted(runs) == [1, 2, 3]
    for places in runs.values():
        assert places == list(range(places[0], places[-1] + 1)), "no gap in a run"
        assert places[0] % CHUNK == 0, "a run goes on with the step that was interrupted"
    for earlier, later in pairwise(runs.values()):
        assert earlier[-1] - CHUNK < later[0] <= earlier[-1] + 1, "no word between is lost, and few are said twice"
    shown: list[str] = []
    for one in said:  # as the page does it
        shown[one["data"]["at"] :] = [one["data"]["word"], *shown[one["data"]["at"] + 1 :]]
    assert shown == WORDS


@pytest.mark.once
def test_the_page_goes_on_through_a_kill(server: Server) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="PLAYWRIGHT IS NOT INSTALLED: requirements-dev.txt")
    if CHROMIUM is None:
        pytest.skip("CHROMIUM IS NOT INSTALLED: apt-get install chromium")
    server.start().wait_ready()
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page()
        page.set_default_timeout(DEADLINE * 1000)
        wrong: list[str] = []
        asked: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{server.url}/words")
        page.get_by_label("Seconds between two words").fill("0.05")
        page.get_by_role("button", name="Start").click()
        words = page.locator("#words span")
        words.nth(CHUNK + 3).wait_for()
        server.kill9()
        page.get_by_text("The server is away").wait_for()
        server.start().wait_ready()
        page.locator("#sheet[data-state=completed]").wait_for()
        assert page.locator("#words").inner_text().split() == WORDS
        assert page.locator("#runs li").count() == 1
        assert page.locator("#runs li").inner_text().startswith("Run 2 went on from word ")
        page.reload()  # the events are on record: the page shows the same again
        page.locator("#sheet[data-state=completed]").wait_for()
        assert page.locator("#words").inner_text().split() == WORDS
        page.get_by_role("textbox", name="Text").fill("<b>no & markup</b> here")
        page.get_by_role("button", name="Start").click()
        page.locator("#sheet[data-state=completed] #words span", has_text="markup").wait_for()
        assert page.locator("#words").inner_text().split() == ["<b>no", "&", "markup</b>", "here"]
        page.get_by_role("textbox", name="Text").fill("")
        page.get_by_label("Seconds between two words").fill("2")
        page.get_by_role("button", name="Start").click()
        page.locator("#words span", has_text="Every").wait_for()
        page.get_by_role("button", name="Stop").click()
        page.locator("#sheet[data-state=cancelled]").wait_for()
        page.goto(f"{server.url}/words#nothing")
        page.get_by_text("There is no such task").wait_for()
        browser.close()
    assert wrong == []
    assert [url for url in asked if not url.startswith(f"{server.url}/")] == []
