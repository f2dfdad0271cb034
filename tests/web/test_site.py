"""What is remembered of routes answers as what is looked up."""

from __future__ import annotations

from quart import Response

from quart_app.web.protection import quart_patches as site_module
from quart_app.web.protection.quart_patches import Site
from tests.web import site as served


def made() -> Site:
    app = Site(__name__)

    async def show(**values: str) -> Response:
        answer = Response(repr(sorted(values.items())))
        values.clear()
        return answer

    app.add_url_rule("/<first>/<path:rest>", "show", show, methods=["POST", "GET"])
    return app


async def asked(app: Site, method: str, path: str) -> tuple[int, str]:
    answer = await app.test_client().open(path, method=method)
    return answer.status_code, await answer.get_data(as_text=True)


async def test_a_place_that_is_known_has_its_own_values() -> None:
    app = made()
    for method in ("POST", "GET", "POST", "GET"):
        for path, values in (("/a/b/c", [("first", "a"), ("rest", "b/c")]), ("/x/y", [("first", "x"), ("rest", "y")])):
            assert await asked(app, method, path) == (200, repr(values))
        assert (await asked(app, method, "/a"))[0] == 404
        assert (await asked(app, "PUT", "/a/b"))[0] == 405


async def test_urls_are_built_as_ever() -> None:
    app = made()
    async with app.test_request_context("/"):
        for _ in range(2):
            assert app.url_for("show", first="a b", rest="c/d") == "/a%20b/c/d"
            assert app.url_for("show", first="a", rest="b", more=1) == "/a/b?more=1"
            assert app.url_for("show", first="a", rest="b", more=1, _external=True) == "http://localhost/a/b?more=1"


async def test_no_more_than_so_many_places_are_remembered() -> None:
    app = made()
    known = app.url_map.known  # type: ignore[attr-defined]
    for number in range(site_module.MAX_KNOWN + 2):
        assert (await asked(app, "POST", f"/a/{number}"))[0] == 200
    assert 0 < len(known) < site_module.MAX_KNOWN


async def test_a_route_that_comes_later_is_found() -> None:
    app = made()
    assert (await asked(app, "POST", "/a/b"))[1] == repr([("first", "a"), ("rest", "b")])

    async def later() -> Response:
        return Response("later")

    app._got_first_request = False  # Quart lets nobody add a route once it serves
    app.add_url_rule("/a/b", "later", later, methods=["POST"])
    assert await asked(app, "POST", "/a/b") == (200, "later")


async def test_functions_that_are_not_async_are_made_so() -> None:
    app = made()
    app.before_request(lambda: None)
    app.after_request(lambda response: response)
    assert (await asked(app, "POST", "/a/b"))[0] == 200


async def test_a_kind_is_made_and_read_again_and_again(site: served.Site) -> None:
    for number in range(3):
        task_id = await site.make("echo", {"value": number})
        assert (await site.task(task_id))["args"] == {"value": number}
