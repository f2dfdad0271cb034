"""/ and /docs in a real browser: a page leads to Swagger UI, which shows the document, runs an operation, and asks
nobody but this server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests import readme
from tests.acceptance.harness import DEADLINE, Server

pytestmark = pytest.mark.once

sync_api = pytest.importorskip("playwright.sync_api", reason="PLAYWRIGHT IS NOT INSTALLED: requirements-dev.txt has it")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


class Visit:
    """An open page, what it has asked for, and what went wrong in it."""

    def __init__(self, page: sync_api.Page) -> None:
        self.page = page
        self.asked: list[str] = []
        self.wrong: list[str] = []
        page.set_default_timeout(DEADLINE * 1000)
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", lambda message: self.wrong.append(message.text) if message.type == "error" else None)


@pytest.fixture
def visit() -> Iterator[Visit]:
    if CHROMIUM is None:
        pytest.skip("CHROMIUM IS NOT INSTALLED: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield Visit(browser.new_page())
        browser.close()


def test_the_first_page_leads_to_one_that_shows_every_operation_runs_one_and_asks_nobody_else(
    server: Server, visit: Visit
) -> None:
    server.start().wait_ready()
    page = visit.page
    page.goto(server.url)
    page.get_by_role("link", name="Read and try the API").click()
    paths = server.client.get("/openapi.json").json()["paths"]
    operations = page.locator(".opblock")
    operations.first.wait_for()
    assert operations.count() == sum(len(methods) for methods in paths.values())
    kinds = operations.filter(has_text="Read a kind")
    kinds.locator("button.opblock-summary-control").click()
    kinds.locator("input[placeholder='kind']").fill("add")
    kinds.locator("button.execute").click()
    kinds.locator(".live-responses-table .response-col_status", has_text="200").wait_for()
    assert f"{server.url}/kinds/add" in visit.asked
    assert [url for url in visit.asked if not url.startswith((f"{server.url}/", "data:"))] == []
    assert visit.wrong == []


def test_somebody_talks_in_the_chat_as_the_examples_show(server: Server, visit: Visit) -> None:
    (lines,) = [block.text for block in readme.blocks() if block.language == "js"]
    server.start().wait_ready()
    page = visit.page
    page.goto(f"{server.url}/docs")
    with page.expect_console_message(lambda message: message.text == "Message: Hello"):
        page.evaluate(f"() => {{ {lines} }}")
    assert visit.wrong == []


def test_a_key_that_is_entered_shows_what_it_may_use(server: Server, visit: Visit) -> None:
    key = "a-key-of-24-characters-x"
    server.environment["QUART_APP_API_KEYS"] = f"ann:{key}"
    server.start().wait_ready()
    page = visit.page
    page.goto(f"{server.url}/docs")
    operations = page.locator(".opblock")
    operations.first.wait_for()
    assert operations.filter(has_text="/tasks/add").count() == 0
    page.locator("button.authorize").first.click()
    page.locator(".auth-container").first.locator("input").fill(key)
    page.locator(".auth-container").first.locator("button[type=submit]").click()
    page.locator(".auth-wrapper button.btn-done").first.click()
    operations.filter(has_text="/tasks/add").first.wait_for()
    assert visit.wrong == []
