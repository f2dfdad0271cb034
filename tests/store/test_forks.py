"""A forked child has copies of the connections, and of the memory that all of them share; it must not end them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# The end of a connection in the middle of a transaction is a rollback, and a rollback tidies up the index of the WAL.
FORK_IN_A_TRANSACTION = """
import os, sqlite3, sys
from quart_app.store.sqlite.transaction import WriterConnection

factory = WriterConnection if sys.argv[2] == "ours" else sqlite3.Connection
connection = sqlite3.connect(sys.argv[1], isolation_level=None, factory=factory)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("PRAGMA cache_size = 10")  # pages go to the WAL before the COMMIT
connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, x)")
connection.execute("BEGIN IMMEDIATE")
for n in range(500):
    connection.execute("INSERT INTO t (x) VALUES (?)", ("x" * 2000,))
child = os.fork()
if child == 0:
    sys.exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
connection.execute("COMMIT")
reader = sqlite3.connect(sys.argv[1])
assert reader.execute("SELECT count(*) FROM t").fetchone() == (500,)
assert reader.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="NO FORK HERE")
@pytest.mark.parametrize("whose", ["ours", "plain"])
def test_the_end_of_a_forked_child_does_not_touch_an_open_transaction(database_path: Path, whose: str) -> None:
    arguments = [sys.executable, "-c", FORK_IN_A_TRANSACTION, str(database_path), whose]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=60)
    if whose == "ours":
        assert done.returncode == 0, done.stderr
    else:  # what this is about: without the care that is taken, the server reads a damaged database
        assert "DatabaseError: database disk image is malformed" in done.stderr
