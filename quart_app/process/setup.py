"""The first steps of a standalone process: it opens the standard descriptors, makes paths absolute and forbids core
dumps.

For the command line and `quart_app.asgi`. In an app that embeds this service the process belongs to the app.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

if sys.platform != "win32":
    import resource

_STREAMS: Final = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))
_OF_OPENSSL: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def prepare() -> None:
    """Call it before anything is opened."""
    _open_standard_streams()
    _make_paths_absolute()
    forbid_core_dumps()


def forbid_core_dumps() -> None:
    """Write no core files: they would hold keys and the data of tasks. Programs that a task starts write none either.
    Where the kernel hands dumps to a program (`core_pattern` with a `|`), that program decides."""
    if sys.platform != "win32":
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _open_standard_streams() -> None:
    """Open /dev/null where stdin, stdout or stderr were closed at the start (`2>&-`). Python has no such stream then,
    and the next file or socket would get its number: what a library prints would be written there."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is taken, which is this one: those below it are in use.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for number, (name, mode) in enumerate(_STREAMS):
        if getattr(sys, name) is None:
            stream = open(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def _make_paths_absolute() -> None:
    """Tasks may change the working directory: modules and certificates must be found afterwards, too."""
    try:
        # Some entries are not paths but names for the finders of editable installs.
        sys.path[:] = [str(Path(path).absolute()) if not path or Path(path).exists() else path for path in sys.path]
        for name in _OF_OPENSSL:
            if path := os.environ.get(name):
                os.environ[name] = str(Path(path).absolute())
    except OSError:
        pass  # the working directory does not exist, or cannot be read: relative paths lead nowhere already
