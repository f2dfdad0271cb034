"""Replaces parts of Quart and of the servers with our own, where their version is a known one.

`hypercorn_patches.py`, `hypercorn_http2.py` and the two of uvicorn each have a table of what they replace and why.
They are imported here and by each other only, because under another version even the import may fail. In that case the
package is used unchanged, and one warning says so. What we need of Quart itself is in `quart_patches.py`.
`tests/web/test_patching.py` has a hash of the source of each replaced part.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from quart import Websocket

from quart_app.process.known_versions import is_known, version
from quart_app.web.protection.connections import Connections
from quart_app.web.protection.plain_site import PlainSite

log = logging.getLogger("quart_app")

DEAF: Final = "quart_app.deaf"
_FOLDER: Final = "quart_app.web.protection"
_QUART: Final = "quart_patches", ("quart", "werkzeug")
_told: set[str] = set()
replaced: dict[str, Any] = {}
"""The replaced parts, by their dotted names."""


class Patch(NamedTuple):
    where: Any  # a module or a class
    name: str
    ours: Any
    why: str


def site_class() -> type[PlainSite]:
    """The class of the app of create_app: the one that extends Quart's own parts, or a plain one."""
    module, packages = _QUART
    if all(map(is_known, packages)):
        try:
            extended: type[PlainSite] = importlib.import_module(f"{_FOLDER}.{module}").Site
            return extended
        except (ImportError, AttributeError):
            pass  # `install` tells
    return PlainSite


def install(connections: Connections) -> None:
    """Install all patches. Called when the routes are made, which is before any server accepts a connection, also under
    the server's own command."""
    unknown = {} if is_known("hypercorn") else {"hypercorn": "without the control socket, so commands need --url"}
    for module, packages in _modules():
        others = [name for name in packages if not is_known(name)]
        if not others:
            try:
                _apply(importlib.import_module(f"{_FOLDER}.{module}").patches(connections))
            except (ImportError, AttributeError) as error:
                others, why = [packages[0]], f"without {module} ({error})"
            else:
                continue
        else:
            why = f"without {module}"
        for name in others:
            unknown[name] = f"{unknown[name]}, {why}" if name in unknown else why
    if new := sorted(unknown.keys() - _told):
        _told.update(new)
        log.warning(
            "serving with versions that are not known, and without some limits of docs/reference/ceilings.md: %s",
            "; ".join(f"{name} {version(name)} ({unknown[name]})" for name in new),
        )


def _modules() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield (module, packages that it needs). The first package is the one that the module changes."""
    yield _QUART
    yield "wsproto_patches", ("wsproto",)
    yield "hypercorn_patches", ("hypercorn", "wsproto")
    yield "hypercorn_http2", ("hypercorn", "wsproto")
    if "uvicorn" in sys.modules:
        yield "uvicorn_h11_patches", ("uvicorn",)
        if importlib.util.find_spec("httptools"):
            yield "uvicorn_patches", ("uvicorn", "httptools")


def _apply(patches: list[Patch]) -> None:
    """Apply all of the patches or, with AttributeError, none."""
    before = [(patch, getattr(patch.where, patch.name)) for patch in patches]
    for patch, original in before:
        if original is not patch.ours:
            replaced[f"{_dotted(patch.where)}.{patch.name}"] = original
            setattr(patch.where, patch.name, patch.ours)


def _dotted(where: Any) -> str:
    return f"{where.__module__}.{where.__qualname__}" if isinstance(where, type) else str(where.__name__)


def stop_listening(websocket: Websocket) -> None:
    """From now on discard what this client sends, unread, where the server is Hypercorn. It takes 0.1 ms to bring one
    message of a flood to a handler, and 9,000 fit into what is read at once."""
    scope: Any = websocket.scope
    scope[DEAF] = True
