"""What strangers cause is written once a second and place, with the number of those left out."""

from __future__ import annotations

import logging

import pytest

from quart_app.process import log_floods
from quart_app.process.log_floods import OncePerSecond


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def log(kept: Kept) -> logging.Logger:
    made = logging.Logger("asyncio")
    made.addFilter(OncePerSecond())
    made.addHandler(kept)
    return made


def fail(log: logging.Logger, how: type[Exception]) -> None:
    try:
        raise how
    except Exception:
        log.exception("socket.accept() out of system resource")


def test_a_flood_from_one_place_is_one_line(log: logging.Logger, kept: Kept) -> None:
    for _ in range(1000):
        fail(log, OSError)
    assert len(kept.records) == 1


def test_another_error_and_another_place_are_still_told(log: logging.Logger, kept: Kept) -> None:
    for _ in range(10):
        fail(log, OSError)
        fail(log, ValueError)
        log.error("something else")
    assert len(kept.records) == 3


def test_the_next_second_says_how_many_were_left_out(
    log: logging.Logger, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(log_floods.time, "monotonic", lambda: now)
    for _ in range(50):
        fail(log, OSError)
    now = 101.5
    fail(log, OSError)
    assert [getattr(record, "left_out", 0) for record in kept.records] == [0, 49]


def test_places_are_forgotten_rather_than_kept_for_ever(log: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_floods, "MAX_PLACES", 10)
    for number in range(100):
        log.error(f"{number}")  # asyncio's lines differ by their text alone
    assert len(log.filters[0]._places) <= 10  # type: ignore[union-attr]
