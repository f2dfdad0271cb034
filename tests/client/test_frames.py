"""Server-Sent Events in pieces, as HTML 9.2.6 has them."""

from __future__ import annotations

import pytest

from quart_app.client.frames import Frame, Frames

STREAM = (
    "retry: 750\n\nid: 3\n\n"
    ':\n\nid: 7\nevent: log\ndata: {"a":\u2028"é"}\n\n'
    "event: step\ndata: one\ndata:two\n\n"
    "id: 9\r\ndata: x\r\n\r\n"
    "id: 10\nevent: status\ndata: cut off"
).encode()
FRAMES = [
    Frame("7", "log", '{"a":\u2028"é"}'),
    Frame("7", "step", "one\ntwo"),
    Frame("9", "message", "x"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_pieces_of_any_size_give_the_same(size: int) -> None:
    frames = Frames()
    found = [one for start in range(0, len(STREAM), size) for one in frames.take(STREAM[start : start + size])]
    assert found == FRAMES
    assert (frames.last_id, frames.retry) == ("9", 0.75)


def test_a_frame_that_was_cut_is_forgotten() -> None:
    frames = Frames()
    frames.take(STREAM)
    frames.begin()
    assert frames.take(b"\n\ndata: next\n\n") == [Frame("9", "message", "next")]


def test_an_id_counts_once_its_frame_is_whole() -> None:
    frames = Frames()
    frames.take(b"id: 4\ndata: x\n")
    assert frames.last_id == ""
    assert frames.take(b"\n") == [Frame("4", "message", "x")]
    assert frames.last_id == "4"
