"""The ports of test servers: nobody else's, and as many as a run of all tests wants."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.ports import free_port


def test_a_process_may_ask_for_any_number_of_ports() -> None:
    for _ in range(200):  # what is let go of is closed: a file that is only dropped warns, and a warning is an error
        assert free_port()


def test_no_other_process_gets_the_port() -> None:
    port = free_port()
    other = (
        "import random, sys; from benchmarks import ports\n"
        f"asked = iter([{port}, {port}, *ports.PORTS])\n"
        "random.choice = lambda _: next(asked)\n"
        f"sys.exit(ports.free_port() == {port})"
    )
    assert subprocess.run([sys.executable, "-c", other], check=False).returncode == 0
