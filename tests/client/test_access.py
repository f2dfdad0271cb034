"""How a client reaches a service: with keys, below a prefix, over a socket, over TLS, and where there is none."""

from __future__ import annotations

import asyncio
import http.server
import logging
import re
import ssl
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from quart_app.client import AsyncClient, Client, NotFound, Refused, TaskServiceError, Unavailable
from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import ROOT, Server
from tests.client.conftest import TASKS, MakeClient

KEY = "correct-horse-battery-staple"
OTHER = "other-horse-battery-staple"
PASSWORD = "secret-word"


# --- keys


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with keys."""
    server = Server(tmp_path_factory.mktemp("locked"), tasks=TASKS, api_keys=f"shop:{KEY},cafe:{OTHER}")
    yield server.start().wait_ready()
    server.close()


def test_with_a_key_everything_works(make_client: MakeClient, locked: Server, flag: Path) -> None:
    client = make_client(locked.url, KEY)
    flag.touch()
    task = client.create("counts", {"to": 4, "flag": str(flag)})
    assert task.owner == "shop"
    assert [done.result for done in client.wait_many([task])] == [4]
    assert client.wait(task, progress=print) == client.get(task)
    assert list(client.events(task))[-1].data["status"] == "completed"
    assert task.task_id in [one.task_id for one in client.list()]


def test_the_tasks_of_others_are_not_found(make_client: MakeClient, locked: Server) -> None:
    task = make_client(locked.url, KEY).create("quick", delay=60)
    with pytest.raises(NotFound):
        make_client(locked.url, OTHER).get(task)


@pytest.mark.parametrize("key", [None, "wrong-horse-battery-staple"])
def test_without_the_right_key_it_is_refused_at_once(make_client: MakeClient, locked: Server, key: str | None) -> None:
    client = make_client(locked.url, key)
    for call in (client.create, client.get, client.wait, lambda one: list(client.events(one)), client.explain):
        with pytest.raises(Refused, match="401 Unauthorized") as refused:
            call("quick")
        assert refused.value.problem["type"].endswith("unauthorized")


def test_a_key_may_not_do_everything(make_client: MakeClient, locked: Server) -> None:
    with pytest.raises(Refused, match="403"):
        make_client(locked.url, KEY).create("cleanup")


def test_a_key_is_never_shown(
    make_client: MakeClient, locked: Server, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    client, lost = make_client(locked.url, KEY), make_client("http://127.0.0.1:9", KEY, unavailable_after=0)
    client.create("quick")
    shown = [repr(client), repr(vars(client)), repr(lost)]
    for made, call, asked in ((client, "get", "unknown"), (client, "create", "unknown"), (lost, "get", "some")):
        with pytest.raises(TaskServiceError) as failed:
            getattr(made, call)(asked)
        error = failed.value
        shown += [str(error), repr(error), repr(error.problem), "".join(traceback.format_exception(error))]
    assert len(shown) == 15
    with pytest.raises(ValueError, match="it has a name or a password") as refused:
        make_client(f"http://user:{PASSWORD}@127.0.0.1:9")
    shown.append("".join(traceback.format_exception(refused.value)))
    for wrong in (f"{KEY}\n", f"{KEY} ", "", f"{KEY}ü"):
        with pytest.raises(ValueError, match="a key has only visible ASCII characters") as refused:
            make_client(locked.url, wrong)
        shown.append("".join(traceback.format_exception(refused.value)))
    shown += [caplog.text, capsys.readouterr().out]
    assert [text for text in shown if KEY in text or PASSWORD in text] == []


# --- addresses


EMBEDDED = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from quart import Quart
from quart_app import QuartTasks
from tests.client import kinds
app = Quart(__name__)
QuartTasks(app, url_prefix='/some/place', tasks=[kinds])
@app.get('/ready')
async def ready():
    return 'the whole'
"""


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service below a path of another app."""
    server = Server(tmp_path_factory.mktemp("embedded"), tasks="")
    (server.folder / "whole.py").write_text(EMBEDDED)
    server.run("-m", "hypercorn", "-w", "0", "-b", f"127.0.0.1:{server.port}", "whole:app").wait_ready()
    yield server
    server.close()


@pytest.mark.parametrize("end", ["", "/"])
def test_a_service_below_a_path(make_client: MakeClient, embedded: Server, end: str, flag: Path) -> None:
    client = make_client(f"{embedded.url}/some/place{end}")
    flag.touch()
    made = client.create_many([{"kind": "counts", "args": {"to": 2, "flag": str(flag)}} for _ in range(5)])
    assert made[0].status_url == f"/some/place/tasks/{made[0].task_id}"
    assert [task.result for task in client.wait_many(made)] == [2] * 5
    assert {task.task_id for task in made} <= {task.task_id for task in client.list(limit=2)}
    assert list(client.events(made[0]))[-1].data["status"] == "completed"
    assert repr(client).endswith(f"Client {embedded.url}/some/place>")


def test_the_wrong_path_is_told(make_client: MakeClient, embedded: Server) -> None:
    with pytest.raises(NotFound, match="the URL of the client has the prefix of the service, too"):
        make_client(embedded.url).create("price", {"order": 1})


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8000",
        "ftp://x",
        "http://",
        "http://x:99999",
        "http://x:y",
        "http://x?a=1",
        "http://x#a",
        "http://[::1",
    ],
)
def test_what_is_no_url_of_a_service_is_told_at_once(make_client: MakeClient, url: str) -> None:
    with pytest.raises(ValueError, match="cannot use this URL"):
        make_client(url)


def test_the_socket_of_the_operator(locked: Server) -> None:
    transport = httpx.HTTPTransport(uds=str(locked.data / "control.sock"))
    with Client("http://localhost", transport=transport) as client:
        assert client.wait(client.create("quick", {"x": 5})).result == 5


def test_one_client_serves_many_threads(locked: Server) -> None:
    results: list[Any] = []
    with Client(locked.url, KEY) as client:
        threads = [
            threading.Thread(target=lambda n=n: results.append(client.wait(client.create("quick", {"x": n})).result))
            for n in range(12)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(results) == list(range(12))


async def test_one_client_waits_for_more_than_it_has_connections(locked: Server) -> None:
    limits = httpx.Limits(max_connections=2)
    async with AsyncClient(locked.url, KEY, limits=limits) as client:
        made = await client.create_many([{"kind": "quick", "args": {"x": n}} for n in range(20)])
        done = await asyncio.gather(*(client.wait(task) for task in made))
    assert [task.result for task in done] == list(range(20))


def test_a_certificate_that_is_not_trusted_is_told_at_once(
    make_client: MakeClient, make_server: MakeServer, tmp_path: Path
) -> None:
    trustme = pytest.importorskip("trustme", reason="TRUSTME IS NOT INSTALLED: requirements-dev.txt has it")
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    server = make_server(tasks=TASKS)
    files = ("--certfile", str(tmp_path / "cert.pem"), "--keyfile", str(tmp_path / "key.pem"))
    trust = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    url = server.url.replace("http", "https")
    server.client.close()
    server.client = httpx.Client(base_url=url, verify=trust)
    server.start("hypercorn", *files).wait_ready()
    with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
        make_client(url).create("quick")
    trusting = make_client(url, verify=trust)
    assert trusting.wait(trusting.create("quick", {"x": 2})).result == 2


# --- somebody else


class Stranger(http.server.BaseHTTPRequestHandler):
    """Another kind of server."""

    def do_GET(self) -> None:
        moved = self.path.startswith("/moved")
        self.send_response(302 if moved else 200)
        if moved:
            self.send_header("Location", "https://elsewhere.example/")
        text = b'{"not": "a task"}' if self.path.startswith("/json") else b"<h1>Welcome</h1>"
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_POST = do_GET  # noqa: N815 - the name that http.server wants

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def stranger() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("html", "is the URL that of a task service"),
        ("json", "not that of a task service"),
        ("moved", "elsewhere.example"),
    ],
)
def test_another_service_is_told_from_this_one(make_client: MakeClient, stranger: str, path: str, words: str) -> None:
    client = make_client(f"{stranger}/{path}", KEY)
    for call in (
        client.get,
        client.create,
        client.wait,
        lambda one: list(client.events(one)),
        lambda _: list(client.list()),
    ):
        with pytest.raises(TaskServiceError, match=re.escape(words) + "|no stream of events"):
            call("some")


# --- alone

ALONE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {refused}:
            raise ModuleNotFoundError(f"{{name}} is not installed here")

sys.meta_path.insert(0, Refuse())
import asyncio
from quart_app.client import AsyncClient, Client

async def main():
    async with AsyncClient(sys.argv[1]) as client:
        return (await client.wait(await client.create("quick", {{"x": 2}}))).result

with Client(sys.argv[1]) as client:
    task = client.create("quick", {{"x": 1}})
    found = client.wait_many([task])[0].result, len(list(client.events(task))), asyncio.run(main())
print(found, sorted(name for name in sys.modules if name.startswith(("quart_app.engine", "quart_app.service"))))
"""


def test_it_needs_httpx_and_msgspec_alone(service: Server) -> None:
    """A Python that has nothing of the server's packages."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    named = {re.split("[=;]", line)[0].replace("-", "_") for line in lines if line and not line.startswith("#")}
    modules = {"python_dotenv": "dotenv", "pillow": "PIL", "python_bidi": "bidi"}
    refused = {modules.get(name, name) for name in named} - {"httpx", "httpcore", "msgspec", "idna"}
    assert {"quart", "hypercorn", "aiosqlite", "dotenv", "cronsim", "structlog"} <= refused
    script = ALONE.format(refused=sorted(refused))
    done = subprocess.run([sys.executable, "-c", script, service.url], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "(1, 3, 2) []", done.stderr
