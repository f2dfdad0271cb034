"""Counts the bytes of the files that tasks have written, for the quotas of their owners."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final, Protocol

from quart_app.engine.threads import in_thread
from quart_app.engine.upkeep.orphan_files import OWNERS
from quart_app.process.files import Files

INTERVAL: Final = 60.0


class FileQuotas(Protocol):
    async def count_files(self, sizes: Mapping[str, int]) -> None: ...


class FileSizes:
    def __init__(self, files: Files, quotas: FileQuotas) -> None:
        self._files = files
        self._quotas = quotas

    async def run_once(self, now: int) -> None:
        await self._quotas.count_files(await in_thread(self._sizes, "file-sizes"))

    def _sizes(self) -> dict[str, int]:
        """Bytes by task id."""
        sizes: Counter[str] = Counter()
        for folder, task_of in OWNERS.items():
            for name, size in self._files.sizes(folder):
                if (task := task_of(name)) is not None:
                    sizes[task] += size
        return sizes
