"""Run by test_backup_kill.py as a process of its own: makes a backup, or restores one, again and again, each time in a
child that kills itself with SIGKILL one line of store/backup.py later, until one child gets through. Prints how many
were killed.

`python -m tests.store.kill_while_copying FOLDER backup|restore|restore-damaged`: FOLDER/0, 1, … are copies of
FOLDER/start, each with the database `tasks.db` and the backup `copy.db`, as the children left them.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

from quart_app.store.sqlite import backup


def die_after(lines: int) -> None:
    """Trace this process and kill it before the next line of backup.py after `lines` of them."""
    left = lines

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename != backup.__file__:
            return None
        if event == "line":
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


def in_child(folder: Path, what: str, lines: int) -> int:
    """The wait status of the child."""
    child = os.fork()
    if child == 0:
        die_after(lines)
        if what == "backup":
            backup.backup(folder / "tasks.db", folder / "copy.db", force=True)
        else:
            backup.restore(folder / "tasks.db", folder / "copy.db", "then")
        os._exit(0)
    return os.waitpid(child, 0)[1]


def main(folder: Path, what: str) -> None:
    for number in count():
        shutil.copytree(folder / "start", folder / str(number))
        status = in_child(folder / str(number), what, number)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            continue
        assert status == 0
        print(number)
        return


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
