"""Files under the data folder: whole or not there at all, and nothing is followed out of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quart_app.process.files import Files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_there_when_all_of_it_is_written_and_not_before(files: Files, tmp_path: Path) -> None:
    with files.writing("out", "a.txt") as file:
        file.write(b"one")
        file.flush()
        assert "a.txt" not in names(tmp_path / "out")
        file.write(b"two")
    assert (tmp_path / "out" / "a.txt").read_bytes() == b"onetwo"
    assert names(tmp_path / "out") == ["a.txt"]


def test_an_error_leaves_what_was_there_before(files: Files, tmp_path: Path) -> None:
    files.write("out", "a.txt", b"old")
    with pytest.raises(ZeroDivisionError), files.writing("out", "a.txt") as file:
        file.write(b"new")
        _ = 1 / 0
    assert (tmp_path / "out" / "a.txt").read_bytes() == b"old"
    assert names(tmp_path / "out") == ["a.txt"]


@pytest.mark.parametrize("name", ["", ".", "..", "../a", "a/b", "/a", "a\x00b"])
def test_a_name_that_leads_elsewhere_is_refused(files: Files, tmp_path: Path, name: str) -> None:
    files.write("out", "a", b"x")
    for call in (
        lambda: files.write("out", name, b"x"),
        lambda: files.write(name, "a", b"x"),
        lambda: files.open("out", name),
        lambda: files.open(name, "a"),
        lambda: files.remove("out", name),
    ):
        with pytest.raises(ValueError, match="not a plain file name"):
            call()
    assert (names(tmp_path), names(tmp_path / "out")) == (["out"], ["a"])


def test_only_a_plain_file_is_opened(files: Files, tmp_path: Path) -> None:
    files.write("out", "a", b"abc")
    file, size = files.open("out", "a")
    with file:
        assert (file.read(), size) == (b"abc", 3)
    folder = tmp_path / "out"
    (folder / "link").symlink_to(folder / "a")
    (folder / "below").mkdir()
    os.mkfifo(folder / "pipe")
    (tmp_path / "other").symlink_to(folder)
    for place, name in (("out", "link"), ("out", "below"), ("out", "pipe"), ("out", "no"), ("no", "a"), ("other", "a")):
        with pytest.raises(OSError):
            files.open(place, name)


def test_what_another_life_had_begun_is_known(files: Files, tmp_path: Path) -> None:
    with files.writing("out", "a.txt"):
        (begun,) = names(tmp_path / "out")
        assert not files.is_leftover(begun)
        assert Files(tmp_path).is_leftover(begun)
    assert not Files(tmp_path).is_leftover("a.txt")
