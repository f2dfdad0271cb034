"""`--json` prints JSON that steers no terminal, whatever the texts of tasks hold."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from quart_app.cli import remote, storage, watch
from quart_app.cli.connect import Api

# C0 and C1 controls, DEL, marks that turn or hide text, line ends of Unicode, a tag, a lone surrogate; what is fine.
NASTY = "\x1b[31m\x9b31m\x80\x9f\x7f\u202e\u2066\u200b\ufeff\u2028\u2029\x85\U000e0041\ud800"
FINE = 'é 日本 😀 "\\'
TEXT = NASTY + FINE
JSON = argparse.Namespace(
    json=True,
    limit=5,
    act=None,
    file=None,
    status=None,
    error=None,
    kind=None,
    queue=None,
    tag=[TEXT],
    parent=None,
    waiting_for=None,
)


class Answers:
    """An API which gives this document to each question."""

    offline = False

    def __init__(self, document: Any) -> None:
        text = json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")
        self.answer = httpx.Response(200, content=text, default_encoding="utf-8")

    async def call(self, *_: Any, **__: Any) -> httpx.Response:
        return self.answer


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    text = capsys.readouterr().out
    assert text.endswith("\n") and text[:-1].isprintable(), ascii(text)
    assert json.dumps(FINE, ensure_ascii=False)[1:-1] in text, "what can be printed stays as it is"
    return json.loads(text)


@pytest.mark.parametrize(("listing", "name"), [("_list", "tasks"), ("_schedules", "schedules"), ("_acts", "acts")])
async def test_a_listing_is_escaped(capsys: pytest.CaptureFixture[str], listing: str, name: str) -> None:
    document = {name: [{"text": TEXT.replace("\ud800", "")}], "next": None}
    await getattr(remote, listing)(cast(Api, Answers(document)), JSON)
    assert printed(capsys)[name] == document[name]


def test_an_answer_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"tags": [TEXT.replace("\ud800", "")]}
    remote._print(Answers(document).answer, JSON, None)
    assert printed(capsys) == document


def test_an_event_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    event = {"event": "log", "data": {"message": TEXT}}
    watch._Json().event(event)
    assert printed(capsys) == event


def test_the_findings_of_an_audit_are_escaped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = argparse.Namespace(checked={"tasks": 1}, findings=[TEXT], skipped=[])
    monkeypatch.setattr(storage, "audit", lambda path: report)
    assert storage._audit(Path("x"), JSON) == 1
    assert printed(capsys)["findings"] == [TEXT]
