"""One run of Huey on SQLite: `python -m benchmarks.huey_peer FOLDER WORKERS TASKS AT_ONCE` prints tasks/s.

`fsync=True` promises what we promise: what was enqueued is on disk. The result of each task is stored, so that it can
be polled, as ours can. Worker threads in this process; a consumer process of its own was no faster (measured with 1, 2
and 4 workers and 1, 8 and 50 clients).
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

from huey import SqliteHuey
from huey.consumer import Consumer


def main(folder: str, workers: int, tasks: int, at_once: int) -> float:
    logging.getLogger("huey").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as data:
        huey = SqliteHuey(filename=str(Path(data, "huey.db")), fsync=True)

        @huey.task()
        def one() -> int:
            return 1

        # Delays as short as Huey takes them: an idle worker looks again after 1 to 10 ms.
        consumer = Consumer(huey, workers=workers, initial_delay=0.001, max_delay=0.01, backoff=1.0, periodic=False)
        consumer.start()
        left = iter(range(tasks))
        lock = threading.Lock()
        keys: list[str] = []

        def client() -> None:
            while True:
                with lock:
                    if next(left, None) is None:
                        return
                keys.append(one().id)

        clients = [threading.Thread(target=client) for _ in range(at_once)]
        began = time.perf_counter()
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()
        for key in keys:
            while not huey.storage.has_data_for_key(key):
                time.sleep(0.001)
        rate = tasks / (time.perf_counter() - began)
        consumer.stop(graceful=False)
        return rate


if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])), flush=True)
    os._exit(0)  # its worker threads would be waited for
