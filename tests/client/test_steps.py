"""How long a call tries, by its steps alone: no network is needed to see what it would do."""

from __future__ import annotations

from typing import Any

import pytest

from quart_app.client import NotFound, Refused, TaskServiceError, Unavailable
from quart_app.client.steps import LONGEST, Answer, Course, Lost, Patience, Pause, Send, ask

SEND = Send("GET", "/x")
GONE = Lost("nobody is there")


def answer(status: int, body: bytes = b"{}", **headers: str) -> Answer:
    return Answer(status, {name.replace("_", "-"): text for name, text in headers.items()}, body)


def course(repeatable: bool = True, most: float = 60.0) -> Course[Any]:
    return Course(ask(SEND, Patience("http://here", most), repeatable))


def test_what_came_to_nothing_is_sent_again_after_growing_pauses() -> None:
    call, pauses = course(), []
    for came in [GONE, answer(503), answer(502), answer(504), *[GONE] * 8]:
        assert call.step == SEND
        call.go(came)
        assert isinstance(call.step, Pause)
        pauses.append(call.step.seconds)
        call.go(None)
    call.go(answer(200))
    assert call.step is None
    assert call.result.status == 200
    assert 0 < pauses[0] < pauses[4] <= LONGEST
    assert max(pauses) <= LONGEST


@pytest.mark.parametrize("status", [429, 503])
def test_the_server_is_given_the_time_it_asks_for(status: int) -> None:
    call = course()
    call.go(answer(status, retry_after="7"))
    assert isinstance(call.step, Pause)
    assert 7 <= call.step.seconds <= 7.7


def test_no_pause_is_longer_than_the_client_has_patience() -> None:
    call = course(most=3)
    call.go(answer(429, retry_after="3600"))
    assert isinstance(call.step, Pause)
    assert call.step.seconds <= 3


def test_without_patience_the_first_trouble_is_the_last() -> None:
    call = course(most=0)
    with pytest.raises(Unavailable, match="503 Queue full: 7 are due") as full:
        call.go(answer(503, b'{"title": "Queue full", "detail": "7 are due", "type": "t"}'))
    assert full.value.problem == {"title": "Queue full", "detail": "7 are due", "type": "t", "status": 503}
    with pytest.raises(Unavailable, match="http://here was not available for 0 s: nobody is there") as gone:
        course(most=0).go(GONE)
    assert gone.value.problem == {}


def test_the_time_of_a_server_that_says_nothing_counts() -> None:
    call = course(most=14)
    with pytest.raises(Unavailable, match="nothing came"):
        call.go(Lost("nothing came", timed_out=True))


def test_what_will_not_work_later_is_told_at_once() -> None:
    with pytest.raises(Unavailable, match="bad certificate"):
        course().go(Lost("bad certificate", hopeless=True))


def test_what_must_not_be_done_twice_is_sent_again_only_if_it_was_not_seen() -> None:
    for came in (Lost("refused", unsent=True), answer(503), answer(429)):
        call = course(repeatable=False)
        call.go(came)
        assert isinstance(call.step, Pause)
    for came in (GONE, Lost("late", timed_out=True), answer(502), answer(504)):
        with pytest.raises(Unavailable, match="whether the service has done it is not known"):
            course(repeatable=False).go(came)


def test_a_client_whose_connections_are_all_in_use_is_no_trouble_of_the_server() -> None:
    call = course(most=0)
    call.go(Lost("all in use", unsent=True, busy=True))
    assert call.step == SEND


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, Refused), (404, NotFound), (418, Refused), (500, TaskServiceError), (301, TaskServiceError)],
)
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"title": 1}', b"\xff"])
def test_every_answer_has_a_problem(status: int, error: type[TaskServiceError], body: bytes) -> None:
    with pytest.raises(error) as raised:
        course().go(answer(status, body))
    assert type(raised.value) is error
    assert raised.value.problem["status"] == status
    assert raised.value.problem["title"]
    assert str(status) in str(raised.value)
