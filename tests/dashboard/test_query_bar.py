"""The query bar: what a text means, and texts that mean nothing."""

from __future__ import annotations

from typing import Any

import pytest

from quart_app.dashboard.query_bar import WORDS, read, toggled, words_of, written
from quart_app.web.routes.tasks import FILTERS

ID = "01a22540-586f-7ebf-9ba5-27e010267a41"


@pytest.mark.parametrize(
    ("text", "filters"),
    [
        ("", {}),
        ("   ", {}),
        ("kind:mail status:failed", {"kind": "mail", "status": "failed"}),
        ('tag:"a b" queue:q', {"tag": "a b", "queue": "q"}),
        ('tag:""', {}),
        ("failed", {"status": "failed"}),
        ("mail", {"kind": "mail"}),
        ("mail failed", {"kind": "mail", "status": "failed"}),
        ("waiting:limit:queue:x", {"waiting_for": "limit:queue:x"}),
        ("tag:a:b", {"tag": "a:b"}),
        ("owner:ann", {"owner": "ann"}),
        ('owner:""', {"owner": ""}),
        ("after:2030-01-01T00:00:00Z", {"created_after": 1893456000000}),
    ],
)
def test_a_text_is_filters(text: str, filters: dict[str, Any]) -> None:
    found = read(text, ["mail"], True)
    assert found.filters == filters
    assert found.task_id is None
    assert bool(found.wrong) is (text == 'tag:""')


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("nonsense", "the words are kind, status"),
        ("kind:UPPER", "kind must match"),
        ("status:done", "status must be one of"),
        ("kind:a kind:b", "kind is given twice"),
        ('tag:"open', "a quotation mark is missing"),
        ("colour:red", "is no kind"),
        ("owner:ann", "is no kind"),
        ("<script>", "is no kind"),
    ],
)
def test_what_cannot_be_read_is_told(text: str, part: str) -> None:
    (wrong,) = read(text, ["mail"], False).wrong
    assert part in wrong


def test_an_id_is_a_task() -> None:
    assert read(f" {ID} ", [], False).task_id == ID
    assert read(f"parent:{ID}", [], False).filters == {"parent": ID}


def test_every_word_is_a_filter_of_the_api() -> None:
    assert set(WORDS.values()) == set(FILTERS) - {"limit", "cursor", "fields"}


def test_one_word_is_exchanged_and_the_others_stay() -> None:
    assert toggled('tag:"a b" failed', "status", "pending") == 'tag:"a b" status:pending'
    assert toggled("kind:mail status:failed", "status", None) == "kind:mail"
    assert words_of(written({"tag": "a b", "kind": "x"})) == {"tag": "a b", "kind": "x"}
