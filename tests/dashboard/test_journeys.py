"""The dashboard as a person uses it: a real browser, a real server, which is killed in the middle."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import make_server, server
from tests.acceptance.harness import DEADLINE, Server

__all__ = ["make_server", "server"]

pytestmark = pytest.mark.once

sync_api = pytest.importorskip("playwright.sync_api", reason="PLAYWRIGHT IS NOT INSTALLED: requirements-dev.txt has it")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
KINDS = Path(__file__).with_name("journey_kinds.py")
KEY = "a-key-of-24-characters-x"


class Visit:
    """An open page of the dashboard. `wrong`: what went wrong in it; requests to elsewhere are wrong, too."""

    def __init__(self, page: Any, server: Server) -> None:
        self.page = page
        self.server = server
        self.wrong: list[str] = []
        self.away = False  # the server is: then requests may fail
        page.set_default_timeout(DEADLINE * 1000)
        page.on("request", lambda request: self._asked(request.url))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", self._said)

    def _asked(self, url: str) -> None:
        if not url.startswith(f"{self.server.url}/"):
            self.wrong.append(f"asked for {url}")

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning") and not (self.away and "ERR_" in message.text):
            self.wrong.append(message.text)

    def open(self, path: str = "") -> None:
        self.page.goto(f"{self.server.url}/dashboard{path}")

    def press(self, name: str, agree: bool = False) -> None:
        self.page.get_by_role("button", name=name, exact=True).first.click()
        if agree:
            self.page.get_by_role("button", name="Yes").click()

    def sees(self, text: str) -> None:
        self.page.get_by_text(text).first.wait_for()

    def state(self, status: str) -> None:
        """Wait until the page of a task shows this status."""
        self.page.locator(f"#state[data-status={status}]").wait_for()


Look = Callable[..., Any]


@pytest.fixture
def look() -> Iterator[Look]:
    """`with look(server, java_script_enabled=False) as visit:` a browser window."""
    if CHROMIUM is None:
        pytest.skip("CHROMIUM IS NOT INSTALLED: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)

        @contextmanager
        def window(server: Server, **options: Any) -> Iterator[Visit]:
            context = browser.new_context(**options)
            visit = Visit(context.new_page(), server)
            yield visit
            assert visit.wrong == []
            context.close()

        yield window
        browser.close()


@pytest.fixture
def running(server: Server) -> Server:
    server.environment["QUART_APP_TASKS"] = str(KINDS)
    return server.start().wait_ready()


def test_a_task_is_started_from_an_empty_system_and_seen_to_end(running: Server, look: Look) -> None:
    with look(running) as visit:
        visit.open()
        visit.sees("Nothing has run here yet")
        visit.press("Start stream-words")
        visit.sees("The task is on record.")
        visit.state("processing")
        lines = visit.page.locator("#log li.output")
        lines.nth(5).wait_for()
        assert '"word":"Every"' in lines.nth(0).inner_text()
        visit.press("Cancel", agree=True)
        visit.state("cancelled")
        visit.open("/kinds/add")
        visit.page.get_by_role("textbox", name="x", exact=True).fill("12345678901234567890")
        visit.page.get_by_role("textbox", name="y", exact=True).fill("1")
        visit.press("Start")
        visit.state("completed")
        visit.page.locator("#result-live", has_text="12345678901234567891").wait_for()
        visit.open()
        visit.page.locator("#latest").get_by_text("stream-words").wait_for()


def test_the_page_of_a_task_goes_on_by_itself_when_the_server_is_killed(running: Server, look: Look) -> None:
    with look(running) as visit, look(running) as other:
        other.open("/tasks")
        flag = running.folder / "flag"
        task = running.post("counts", {"most": 20, "flag": str(flag)})
        visit.open(f"/tasks/{task}")
        lines = visit.page.locator("#log li")
        lines.nth(10).wait_for()
        other.page.locator(f"#row-{task}").get_by_text("processing").wait_for()
        visit.away = other.away = True
        running.kill9()
        visit.sees("the server is away")
        other.sees("the server is away")
        flag.touch()
        running.start().wait_ready()
        visit.state("completed")
        other.page.locator(f"#row-{task}").get_by_text("completed").wait_for()
        visit.page.locator(".runs").get_by_text("its process died").wait_for()
        numbers = [int(re.findall(r"number (\d+)", text)[0]) for text in lines.all_inner_texts()]
        assert sorted(set(numbers)) == list(range(20)), "no line is lost"
        assert numbers.index(19) == len(numbers) - 1
        shown = visit.page.locator("#result-live pre").inner_text()
        assert shown == "20"


def test_a_failed_task_is_retried_from_a_step(running: Server, look: Look) -> None:
    task = running.post("fails-once", {"flag": str(running.folder / "flag")})
    running.ended(task)
    with look(running) as visit:
        visit.open("/errors")
        visit.page.get_by_role("link", name="ValueError in fails-once").click()
        visit.page.get_by_role("link", name="fails-once", exact=True).last.click()
        visit.sees("<b>not yet</b>")
        visit.page.get_by_text("Traceback", exact=True).click()
        visit.sees("raise ValueError")
        (running.folder / "flag").touch()
        visit.press("Retry from first", agree=True)
        visit.sees("The task runs again.")
        visit.state("completed")
        visit.open("/errors")
        visit.sees("No task is failed.")


def test_somebody_signs_in_works_and_signs_out(make_server: Callable[..., Server], look: Look) -> None:
    server = make_server(api_keys=f"ann:{KEY}", tasks=KINDS)
    server.start().wait_ready()
    with look(server) as visit:
        visit.open("/kinds/counts")
        visit.page.get_by_label("Key", exact=True).fill("this-is-not-the-key")
        visit.wrong.clear()
        visit.press("Sign in")
        visit.sees("This key opens nothing.")
        assert [text for text in visit.wrong if "401" not in text] == []
        visit.wrong.clear()
        visit.page.get_by_label("Key", exact=True).fill(KEY)
        visit.press("Sign in")
        visit.page.get_by_role("textbox", name="most optional").fill("5")
        visit.press("Start")
        visit.state("completed")
        assert visit.page.locator("#log li").count() == 5, "the stream takes the cookie"
        visit.page.reload()
        visit.state("completed")
        visit.press("Sign out")
        visit.page.get_by_label("Key", exact=True).wait_for()
        visit.open("/tasks")
        visit.page.get_by_label("Key", exact=True).wait_for()


def test_a_link_of_another_site_leads_to_the_page_when_somebody_is_signed_in(
    make_server: Callable[..., Server], look: Look
) -> None:
    server = make_server(api_keys=f"ann:{KEY}", tasks=KINDS)
    server.start().wait_ready()
    with look(server) as visit:
        visit.open()
        visit.page.get_by_label("Key", exact=True).fill(KEY)
        visit.press("Sign in")
        visit.page.get_by_role("heading", name="Overview").wait_for()
        link = f"<a href='{server.url}/dashboard/kinds/counts'>look</a>"
        # The same server under another name is another site.
        elsewhere = server.url.replace("127.0.0.1", "localhost")
        visit.page.route(f"{elsewhere}/mail", lambda route: route.fulfill(body=link, content_type="text/html"))
        visit.page.goto(f"{elsewhere}/mail")
        visit.wrong.clear()
        visit.page.get_by_role("link", name="look").click()
        visit.page.get_by_role("heading", name="counts").wait_for()


def test_without_scripts_a_person_reads_finds_starts_cancels_and_retries(running: Server, look: Look) -> None:
    with look(running, java_script_enabled=False) as visit:
        visit.open("/kinds/holds")
        visit.press("Start")
        visit.sees("The task is on record.")
        visit.press("Cancel")
        visit.page.locator(".said").wait_for()
        until_ended = visit.page.url.partition("?")[0].rpartition("/")[2]
        running.ended(until_ended)
        visit.page.reload()
        visit.state("cancelled")
        visit.press("Retry")
        visit.sees("The task runs again.")
        visit.open("/tasks")
        visit.page.get_by_label("Which tasks").fill("kind:holds status:completed")
        visit.press("Find")
        visit.sees("No task fits.")
        visit.page.get_by_role("link", name="All", exact=True).click()
        visit.page.get_by_role("link", name="holds").wait_for()
        visit.open("/queues")
        visit.page.get_by_role("button", name="Pause default").click()
        visit.sees("Paused: it starts nothing")


def test_with_the_keyboard_alone(running: Server, look: Look) -> None:
    tasks = [running.post("add", {"x": n, "y": 0}) for n in range(3)]
    for task in tasks:
        running.ended(task)
    with look(running) as visit:
        visit.open()
        keys = visit.page.keyboard
        visit.page.locator("h1").wait_for()
        keys.press("g")
        keys.press("t")
        visit.page.wait_for_url("**/dashboard/tasks")
        keys.press("j")
        keys.press("j")
        keys.press("k")
        keys.press("j")
        keys.press("Enter")
        visit.page.wait_for_url(f"**/dashboard/tasks/{tasks[1]}")
        keys.press("?")
        visit.page.get_by_role("heading", name="Keys").wait_for()
        keys.press("Escape")
        visit.open("/tasks")
        keys.press("/")
        keys.type("status:failed")
        keys.press("Enter")
        visit.sees("No task fits.")


def test_rows_stay_where_they_are_below_the_pointer(running: Server, look: Look) -> None:
    first = running.post("add", {"x": 1, "y": 0})
    running.ended(first)
    with look(running) as visit:
        visit.open("/tasks")
        row = visit.page.locator(f"#row-{first}")
        row.hover()
        place = row.bounding_box()
        second = running.post("add", {"x": 2, "y": 0})
        visit.sees("waits for your hand")
        assert row.bounding_box() == place
        visit.page.mouse.move(0, 0)
        visit.page.locator(f"#row-{second}").wait_for()


@pytest.mark.parametrize("width", [390, 768, 1360])
def test_no_page_is_wider_than_its_window(running: Server, look: Look, width: int) -> None:
    long = running.post("fails-once", {"flag": "/" + "x" * 300})
    running.ended(long)
    running.post("counts", {"most": 3})
    with look(running, viewport={"width": width, "height": 800}) as visit:
        for place in (
            "",
            "/tasks",
            f"/tasks/{long}",
            "/kinds",
            "/kinds/crawl",
            "/queues",
            "/limits",
            "/schedules",
            "/errors",
        ):
            visit.open(place)
            visit.page.locator("h1").wait_for()
            assert visit.page.evaluate("document.documentElement.scrollWidth") <= width, place


def test_the_chosen_colours_stay(running: Server, look: Look) -> None:
    with look(running, color_scheme="light") as visit:
        visit.open()
        visit.page.get_by_label("Colours").select_option("dark")
        ground = "getComputedStyle(document.body).backgroundColor"
        dark = visit.page.evaluate(ground)
        visit.open("/tasks")
        assert visit.page.evaluate(ground) == dark
        visit.page.get_by_label("Colours").select_option("light")
        assert visit.page.evaluate(ground) != dark
