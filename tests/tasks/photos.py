"""Photos for `detect-faces`: a real portrait, and files that are put together by hand."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.web.forms import form, send
from tests.web.site import Site

cv2 = pytest.importorskip("cv2", reason="OPENCV IS NOT INSTALLED: requirements-dev.txt has it")
skimage = pytest.importorskip("skimage", reason="SCIKIT-IMAGE IS NOT INSTALLED: requirements-dev.txt has it")
np = pytest.importorskip("numpy")

PICTURES = Path(skimage.__file__).parent / "data"
PORTRAIT = (PICTURES / "astronaut.png").read_bytes()
PATIENT = "?timeout=120"
FACE = (224, 115)  # a point of the face in the portrait


async def detected(site: Site, photo: bytes, query: str = PATIENT, **headers: Any) -> Any:
    """The ended task of a photo sent in a form."""
    answer = await send(site, form(("photo", "photo", photo)), f"/tasks/detect-faces{query}", **headers)
    return await site.ended(answer.id)


def encoded(kind: str, picture: Any, *options: int) -> bytes:
    data: bytes = cv2.imencode(kind, picture, options)[1].tobytes()
    return data


def portrait() -> Any:
    return cv2.imdecode(np.frombuffer(PORTRAIT, np.uint8), cv2.IMREAD_COLOR)


def assert_is_the_face(result: Any, scale: float = 1.0) -> None:
    assert result["count"] == len(result["boxes"]) == 1
    ((x, y, w, h),) = result["boxes"]
    assert x < FACE[0] * scale < x + w
    assert y < FACE[1] * scale < y + h
    assert 60 * scale < w < 160 * scale


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, pixels: bytes = b"", more: bytes = b"", depth: int = 8) -> bytes:
    """A PNG of RGB; `more` are chunks before its pixels."""
    head = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + more + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def turned(jpeg: bytes, orientation: int) -> bytes:
    """The JPEG with an EXIF block (JEITA CP-3451) that says how it is to be turned."""
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    tiff = b"MM\x00\x2a\x00\x00\x00\x08" + struct.pack(">H", 1) + entry + bytes(4)
    exif = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


def scans(width: int, height: int, number: int) -> bytes:
    """A progressive JPEG whose last scan comes so many times more: each is a walk over all the pixels."""
    data = encoded(".jpg", np.zeros((height, width, 3), np.uint8), cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * number + b"\xff\xd9"
