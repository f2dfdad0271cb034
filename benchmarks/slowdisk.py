"""A disk whose fsync takes some milliseconds: a preloaded library when there is a C compiler, else strace."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

SHIM = Path(__file__).with_name("slow_fsync.c")


@dataclass(frozen=True)
class SlowDisk:
    """How to start a process so that its disk is slow."""

    means: str
    environment: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()


def slow_disk(folder: Path, delay_ms: int) -> SlowDisk:
    """Raises RuntimeError when this machine has neither."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler:
        library = folder / "slow_fsync.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, SHIM, "-ldl"], check=True)
        return SlowDisk("a preloaded library", {"LD_PRELOAD": str(library), "SLOW_FSYNC_MS": str(delay_ms)})
    if strace := shutil.which("strace"):
        # -D: the server stays our child. --seccomp-bpf: the other system calls cost nothing.
        inject = f"inject=fsync,fdatasync:delay_enter={delay_ms}ms"
        quiet = ("-qq", "-e", "trace=fsync,fdatasync", "-o", "/dev/null")
        return SlowDisk("strace", prefix=(strace, "-D", "-f", "--seccomp-bpf", *quiet, "-e", inject))
    raise RuntimeError("this part needs gcc or strace")
