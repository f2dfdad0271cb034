"""Disks and files that refuse: a folder or a file that cannot be written, at the start and while serving, and a
write-ahead log that is not one."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quart_app.store.audit import audit
from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import Server, until
from tests.acceptance.power import need_strace
from tests.acceptance.test_exit_codes import one_line
from tests.store import earlier

pytestmark = pytest.mark.once


def obeying_modes() -> list[str]:
    """A command that runs another one without root's right to ignore the modes of files."""
    if os.getuid() != 0:
        return []
    given_up = "-dac_override,-dac_read_search"
    command = ["setpriv", f"--inh-caps={given_up}", f"--bounding-set={given_up}"]
    if not shutil.which("setpriv") or subprocess.run([*command, "true"], capture_output=True).returncode != 0:
        pytest.skip("ROOT CANNOT GIVE UP ITS RIGHTS HERE: files that may not be written are not tested")
    return command


@pytest.mark.parametrize(
    ("name", "mode"), [("", 0o500), ("tasks.db", 0o400), ("tasks.db", 0), ("tasks.db.lock", 0o400)]
)
def test_what_may_not_be_written_is_74_and_one_line(server: Server, name: str, mode: int) -> None:
    server.prefix = obeying_modes()
    assert server.run("-m", "quart_app", "migrate").wait_exit() == 0
    before = server.database.read_bytes()
    path = server.data / name
    usual = path.stat().st_mode
    path.chmod(mode)
    try:
        assert server.start().wait_exit() == 74
        assert str(path) in one_line(server)
    finally:
        path.chmod(usual)
    assert server.database.read_bytes() == before
    server.start().wait_ready()


def mount(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], capture_output=True).returncode == 0


@pytest.fixture
def own_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)):
        pytest.skip("NOTHING CAN BE MOUNTED HERE: read-only file systems are not tested")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_read_only_file_system_is_74_and_one_line(make_server: MakeServer, own_disk: Path) -> None:
    server = make_server(data_dir=own_disk / "data")
    assert server.run("-m", "quart_app", "migrate").wait_exit() == 0
    assert mount("-o", "remount,ro", str(own_disk))
    assert server.start().wait_exit() == 74
    assert f"{own_disk}/data" in one_line(server)
    assert "Read-only file system" in one_line(server)
    new = make_server(data_dir=own_disk / "another").start()
    assert new.wait_exit() == 74
    assert f"{own_disk}/another" in one_line(new)
    assert mount("-o", "remount,rw", str(own_disk))
    server.start().wait_ready()
    assert server.sigterm() == 0


@pytest.mark.parametrize("free", [0, 64, 200])
def test_a_start_on_a_full_disk_is_74_and_one_line_and_goes_on_when_there_is_space(
    make_server: MakeServer, own_disk: Path, free: int
) -> None:
    server = make_server(data_dir=own_disk / "data", log_file=own_disk.parent / "log")
    database = own_disk / "data" / "tasks.db"
    database.parent.mkdir()
    earlier.make(own_disk.parent / "tasks.db")
    shutil.copy(own_disk.parent / "tasks.db", database)
    before = earlier.contents(database)
    filler = own_disk / "filler"
    fill(filler, free)
    for arguments in (["migrate"], ["restore", str(own_disk.parent / "tasks.db")], ["keys", "list"]):
        failed = server.command(*arguments)
        if free < 200 or failed.returncode:
            assert failed.returncode == 74, failed.stderr
            assert len(failed.stderr.splitlines()) == 1
            assert "Traceback" not in failed.stderr
    if free == 0:
        assert server.start().wait_exit() == 74
        one_line(server)
    filler.unlink()
    assert server.command("migrate").returncode == 0
    assert earlier.lost(before, earlier.contents(database)) == []
    assert audit(database).findings == []


def fill(path: Path, free: int) -> None:
    """Leave so many KiB on the disk."""
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(65536)):
                pass
        except OSError as error:
            assert error.errno == errno.ENOSPC
        file.truncate(max(file.tell() // 4096 * 4096 - free * 1024, 0))


def test_an_upload_that_fills_the_disk_is_refused_and_leaves_the_room_to_others(
    make_server: MakeServer, own_disk: Path
) -> None:
    server = make_server(data_dir=own_disk / "data", max_upload=10**9, disk_floor=0).start().wait_ready()
    kept = server.post("quick", {"x": "kept"}, delay=1)
    refused = server.client.post("/uploads", files={"file": ("large", bytes(50_000_000))})
    assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
    assert "No space left on device" in refused.json()["detail"]
    assert list((own_disk / "data" / "uploads").iterdir()) == []
    assert server.ended(kept)["result"] == "kept"
    taken = server.client.post("/uploads", files={"file": ("small", bytes(5_000_000))})
    assert (taken.status_code, taken.json()["size"]) == (201, 5_000_000)


@contextmanager
def read_only(server: Server) -> Iterator[None]:
    """Writes to the database fail, as they do on a file system that was remounted read-only after an error. (Nobody
    but the kernel can do that while files are open.)"""
    paths = [argument for end in ("", "-wal") for argument in ("-P", f"{server.database}{end}")]
    inject = ["-e", "trace=pwrite64", "-e", "inject=pwrite64:error=EROFS"]
    strace = subprocess.Popen(
        [need_strace(), "-f", "-p", str(server.pid), *paths, *inject, "-o", "/dev/null"], stderr=subprocess.PIPE
    )
    try:
        assert strace.stderr is not None
        assert b"attached" in strace.stderr.readline()
        yield
    finally:
        strace.send_signal(signal.SIGINT)  # it lets go of the server
        strace.communicate(timeout=10)


def test_a_disk_that_turns_read_only_refuses_new_tasks_and_is_used_again_when_it_is_back(server: Server) -> None:
    server.start().wait_ready()
    kept = server.post("quick", {"x": "kept"}, delay=1)
    with read_only(server):
        refused = server.client.post("/tasks/quick", json={"x": "refused"})
        assert refused.status_code == 503
        assert refused.headers["content-type"] == "application/problem+json"
        assert "retry-after" in refused.headers
        until(lambda: server.client.get("/ready").status_code == 503, "the end of readiness")
        assert server.client.get("/health").status_code == 200
        assert server.task(kept)["status"] == "pending"
    server.wait_ready(deadline=10)
    assert server.ended(kept)["result"] == "kept"
    assert server.ended(server.post("quick", {"x": "new"}))["status"] == "completed"
    assert server.rows("SELECT count(*) FROM tasks") == [(2,)]
    assert server.sigterm() == 0


def test_a_log_that_is_damaged_at_its_head_is_refused_and_what_it_holds_is_kept(server: Server) -> None:
    server.start().wait_ready()
    tasks = {server.post("quick", {"x": number}) for number in range(10)}
    server.kill9()
    log = server.database.with_name("tasks.db-wal")
    before = log.read_bytes()
    garbage = os.urandom(32) + before[32:]
    log.write_bytes(garbage)
    for _ in range(2):
        assert server.start().wait_exit() == 74
        assert "tasks.db-wal is damaged" in one_line(server)
    assert log.read_bytes() == garbage
    log.write_bytes(before)
    server.start().wait_ready()
    assert {server.ended(task)["task_id"] for task in tasks} == tasks
