"""The systemd unit: what systemd itself says of it, and what a server really does held against what it permits."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import ROOT, Server
from tests.acceptance.power import need_strace

pytestmark = pytest.mark.once

UNIT = ROOT / "deploy" / "quart_app.service"
PYTHON = "/opt/quart_app/.venv/bin/python"


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("SYSTEMD-ANALYZE IS NOT INSTALLED: the unit is not checked")
    return subprocess.run([tool, *arguments], capture_output=True, text=True, timeout=60)


def lines(name: str) -> list[str]:
    """The values of all lines of the unit with this name."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    assert PYTHON in UNIT.read_text()
    copy.write_text(UNIT.read_text().replace(PYTHON, "/bin/true"))
    done = analyze("verify", str(copy))
    complaints = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert (complaints, done.returncode) == ([], 0), done.stderr


def test_systemd_calls_it_well_protected() -> None:
    done = analyze("security", "--offline=true", "--threshold=20", str(UNIT))
    if "unrecognized option" in done.stderr:
        pytest.skip("SYSTEMD IS OLDER THAN 250: it cannot judge a file")
    assert done.returncode == 0, done.stdout


def test_it_is_restarted_unless_a_person_is_needed_and_has_time_to_stop(make_server: MakeServer) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(UNIT.read_text())
    service = unit["Service"]
    assert (service["Restart"], service["RestartPreventExitStatus"]) == ("always", "78")
    assert make_server(concurrency="many").start().wait_exit() == 78
    defaults = (ROOT / ".env.example").read_text()
    drain = float(re.findall(r"QUART_APP_DRAIN_SECONDS=(\S+)", defaults)[0])
    assert float(service["TimeoutStopSec"]) >= drain + 2
    assert service["KillMode"] == "mixed"


def test_all_that_a_server_asks_of_the_kernel_is_permitted(make_server: MakeServer, tmp_path: Path) -> None:
    """Run tasks of each executor, a PDF, an upload, a crawl, a backup; and stop."""
    permitted = calls_of("@system-service") - calls_of("@privileged")
    trace = tmp_path / "trace"
    server = make_server(allow_private_targets=1)
    server.prefix = [need_strace(), "-D", "-f", "--seccomp-bpf", "-o", str(trace), "-e", "trace=all"]
    server.start().wait_ready(120)
    work(server, tmp_path)
    assert server.sigterm(30) == 0
    text = trace.read_text(errors="replace")
    asked = set(re.findall(r"^\d+ +(\w+)\(", text, re.MULTILINE))
    assert {"execve", "fdatasync", "accept4"} <= asked, "the trace is whole"
    if os.geteuid() == 0:
        asked.discard("fchown")  # SQLite's, for root alone
    assert asked - permitted == set()
    assert set(re.findall(r"socket\((AF_\w+)", text)) <= set(lines("RestrictAddressFamilies")[0].split())
    # MemoryDenyWriteExecute
    assert re.findall(r"mmap\([^)\n]*PROT_WRITE\|PROT_EXEC.*", text) == []
    assert re.findall(r"(?:mprotect|pkey_mprotect)\([^)\n]*PROT_EXEC.*", text) == []


def work(server: Server, folder: Path) -> None:
    (folder / "flag").touch()
    args = {"path": str(folder / "journal"), "flag": str(folder / "flag")}
    uploaded = server.client.post("/uploads", files={"file": b"x" * 100_000})
    assert uploaded.status_code == 201
    ids = [server.post(kind, args) for kind in ("sleeper", "thread", "child")]
    ids += [server.post("generate-report", {"report_type": "tasks", "filters": {}})]
    ids += [server.post("send-email", {"to": "a@example.com", "subject": "s", "body": "b"})]
    ids += [server.post("crawl", {"url": f"http://localhost:{server.port}/", "max_pages": 1, "max_depth": 1})]
    for one in ids:
        assert server.ended(one, 120)["status"] == "completed"
    backup = server.command("backup", str(folder / "backup.db"))
    assert backup.returncode == 0, backup.stderr


def calls_of(group: str) -> set[str]:
    """The system calls of one of systemd's groups, those of groups in it included."""
    found = set()
    for line in analyze("syscall-filter", group).stdout.splitlines():
        word = line.strip()
        if word.startswith("@") and word != group:
            found |= calls_of(word)
        elif word and not word.startswith(("#", "@")):
            found.add(word)
    return found


def test_no_file_of_the_service_is_open_to_others(make_server: MakeServer) -> None:
    """What the unit's UMask and StateDirectoryMode are there for."""
    assert (lines("UMask"), lines("StateDirectoryMode")) == (["0077"], ["0700"])
    server = make_server()
    mask = os.umask(0o077)
    try:
        server.start().wait_ready()
    finally:
        os.umask(mask)
    assert server.sigterm() == 0
    modes = {path.name: path.stat().st_mode & 0o077 for path in [server.data, *server.data.rglob("*")]}
    assert {name for name, others in modes.items() if others} == set()
