"""The versions of other packages under which we replace, extend or use parts that are not their public API.

Under another version the service does without, and one warning says what is missing (web/protection/patching.py).
"""

from __future__ import annotations

import importlib.metadata
from typing import Final

# Major and minor number.
KNOWN: Final = {
    "hypercorn": ("0.18",),
    "wsproto": ("1.2", "1.3"),
    "uvicorn": ("0.54",),
    "httptools": ("0.9",),
    "quart": ("0.22", "0.23"),
    "werkzeug": ("3.1",),
}


def version(package: str) -> str:
    """The installed version of the package, as a text to show."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "of no known number"


def is_known(package: str) -> bool:
    """Whether the installed version is in KNOWN."""
    return ".".join(version(package).split(".")[:2]) in KNOWN[package]
