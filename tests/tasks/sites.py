"""A real web site on loopback, made of a dict, that counts who comes and what is asked for."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Page = str | bytes | Callable[[BaseHTTPRequestHandler], None]


class WebSite:
    """`pages` by path: HTML, bytes of robots.txt, or a function that answers by itself. `asked` are the paths, in
    order; `connections` counts those who connected."""

    def __init__(self, pages: Mapping[str, Page]) -> None:
        self.pages = {"/robots.txt": b"User-agent: *\nCrawl-delay: 0\n", **pages}
        self.asked: list[str] = []
        self.connections = 0
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                site.connections += 1
                super().setup()

            def do_GET(self) -> None:
                site.asked.append(self.path)
                site.agent = self.headers.get("User-Agent", "")
                page = site.pages.get(self.path.partition("?")[0])
                with contextlib.suppress(OSError):  # the crawler may hang up
                    if callable(page):
                        page(self)
                    elif page is None:
                        self.send_error(404)
                    else:
                        answer(self, page)

            def log_message(self, *_: Any) -> None:
                pass

        self.agent = ""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextlib.contextmanager
    def served(self) -> Iterator[WebSite]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


def answer(handler: BaseHTTPRequestHandler, body: str | bytes, status: int = 200, **fields: str) -> None:
    data = body.encode() if isinstance(body, str) else body
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(data)))
    if "Content_Type" not in fields:
        handler.send_header("Content-Type", "text/html; charset=utf-8" if isinstance(body, str) else "text/plain")
    for name, value in fields.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(data)


def links(*targets: str, title: str = "page") -> str:
    return f"<title>{title}</title>" + "".join(f'<a href="{target}">x</a>' for target in targets)


def redirect(target: str) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda handler: answer(handler, "", 302, Location=target)
