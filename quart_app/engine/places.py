"""Where in the handler's own code an error was raised.

That is the innermost frame of its traceback in the file of the handler, in another file of its package, or in any file
outside of quart_app, the standard library and site-packages. The place has the function and no line: a line changes
with every edit above it, and the same error would be two.
"""

from __future__ import annotations

import inspect
import os
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final

from quart_app.core import codec, exception_groups

MAX_PLACE: Final = 300  # characters
DEEPEST: Final = 10_000  # frames

_OURS: Final = "quart_app"
_INSTALLED: Final = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_OUTSIDE: Final = (
    str(Path(__file__).parents[1]) + os.sep,
    *(sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib")),
    "<frozen ",
)


def place_of(function: Callable[..., Any], error: BaseException) -> str | None:
    """Such as `shop/orders.py in total`; None when the error was raised nowhere in the handler's code."""
    try:
        handler = inspect.unwrap(function)
        file, package = handler.__code__.co_filename, str(handler.__module__).partition(".")[0]
        for one in (exception_groups.leaves(error)[0], error):
            own = [frame for frame in _frames(one.__traceback__) if _is_own(frame, file, package)]
            if own:
                return codec.clean(_shown(own[-1]), MAX_PLACE)
    except Exception:  # what a handler raises may be of any make
        return None
    return None


def _frames(trace: TracebackType | None) -> Iterator[FrameType]:
    for _ in range(DEEPEST):
        if trace is None:
            return
        yield trace.tb_frame
        trace = trace.tb_next


def _is_own(frame: FrameType, file: str, package: str) -> bool:
    path = frame.f_code.co_filename
    if path == file:
        return True
    if package != _OURS and str(frame.f_globals.get("__name__")).startswith(f"{package}."):
        return True
    return not path.startswith(_OUTSIDE) and not any(part in path for part in _INSTALLED)


def _shown(frame: FrameType) -> str:
    """The file as its module is imported, so that it is the same wherever the code lies; and the function."""
    path, module = Path(frame.f_code.co_filename), str(frame.f_globals.get("__name__", ""))
    above = module.count(".") + (path.stem == "__init__")
    return f"{'/'.join(path.parts[-above - 1 :])} in {frame.f_code.co_qualname}"
