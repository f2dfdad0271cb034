"""`detect-faces`: finds the faces in an uploaded photo, with OpenCV, in a child process.

No file can harm the server: the size of the picture is checked before it is decoded, the memory and the processor time
of the child are limited, and a child that dies ends only this task.
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import signal
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from quart_app.core import artifacts
from quart_app.engine import NonRetryable, UploadId, task

FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
MAX_PIXELS: Final = 40_000_000
MAX_SIDE: Final = 65_500  # pixels on a side of a JPEG (libjpeg's limit), the format of the result
LONGEST: Final = 1000  # pixels of the longer side during detection: enough to find faces, and quick
MEMORY: Final = 1 << 30  # bytes that decoding and detection may take
CPU_SECONDS: Final = 3.0  # three times what the largest photo takes
INSTALL: Final = 'OpenCV is not installed: pip install "quart-app[faces]", or "opencv-python-headless>=4.12,<5"'


@task("detect-faces", executor="process", timeout=60)
def detect_faces(ctx: Any, upload_id: UploadId) -> dict[str, Any]:
    """Find the faces in an uploaded photo.

    PNG, JPEG, WebP, GIF or BMP of one frame and up to 40 megapixels. A box is x, y, width, height in pixels of the
    photo, turned as its EXIF orientation says; the file is the photo with the boxes drawn."""
    try:
        import cv2
    except ImportError:
        raise NonRetryable(INSTALL) from None
    path = ctx.upload(upload_id).path
    with _limits(), _silence():
        try:
            data = path.read_bytes()
            _check(data)
            boxes, annotated = _find(cv2, data)
        except (cv2.error, MemoryError) as error:
            raise NonRetryable(f"the picture cannot be decoded: {getattr(error, 'err', 'too little memory')}") from None
    name = artifacts.file_name("faces", ctx.task_id, "jpg")
    ctx.files.write(artifacts.FOLDER, name, annotated)
    return {"count": len(boxes), "boxes": boxes, "file_url": artifacts.file_url(name)}


def _check(data: bytes) -> None:
    """Check the size first, because a small file can claim to be a gigantic picture. Then check that the picture is
    complete and not animated, because OpenCV does not report either. Raises NonRetryable."""
    from PIL import Image, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # checked below
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            if getattr(picture, "is_animated", False) and picture.format != "MPO":  # a phone's JPEG with a preview
                raise NonRetryable("the picture is animated; send a single frame")
            size = f"{picture.width} x {picture.height}"
            if picture.width * picture.height > MAX_PIXELS:
                raise NonRetryable(f"the picture has {size} pixels; up to {MAX_PIXELS // 10**6} megapixels are taken")
            if max(picture.size) > MAX_SIDE:
                raise NonRetryable(f"the picture has {size} pixels; up to {MAX_SIDE} on a side are taken")
            if picture.format in ("PNG", "WEBP"):  # its checksums suffice, and are quick; a WebP was read when opened
                picture.verify()
            else:
                picture.draft("L", (1, 1))  # decode a JPEG at an eighth of its size: it takes a fraction of the time
                picture.load()
    except UnidentifiedImageError:
        raise NonRetryable(f"this is no picture in one of the formats {', '.join(FORMATS)}") from None
    except (OSError, ValueError, SyntaxError, struct.error) as error:  # Pillow's readers raise these
        raise NonRetryable(f"the picture is damaged: {error}") from None


def _find(cv2: Any, data: bytes) -> tuple[list[list[int]], bytes]:
    """The boxes from left to right, and the photo with the boxes drawn, as a JPEG."""
    import numpy

    cv2.setNumThreads(1)
    photo = cv2.imdecode(numpy.frombuffer(data, numpy.uint8), cv2.IMREAD_COLOR)
    if photo is None:
        raise NonRetryable("the picture is damaged")
    height, width = photo.shape[:2]
    scale = min(LONGEST / max(width, height), 1.0)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA) if scale < 1 else photo
    grey = cv2.equalizeHist(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY))
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    found = cascade.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=6, minSize=(40, 40))
    boxes = sorted([round(float(number) / scale) for number in box] for box in found)
    for x, y, w, h in boxes:
        cv2.rectangle(photo, (x, y), (x + w, y + h), (0, 255, 0), max(round(2 / scale), 2))
    return boxes, cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


@contextlib.contextmanager
def _limits() -> Iterator[None]:
    """Limit memory and processor time for this block alone, because the child runs other tasks too. Above the processor
    time the system kills the child (SIGPROF); above the memory an allocation fails."""
    kind = resource.RLIMIT_AS
    soft, hard = resource.getrlimit(kind)
    statm = Path("/proc/self/statm")
    if statm.exists():  # Linux; elsewhere the size of the address space says little
        limit = int(statm.read_text().split()[0]) * resource.getpagesize() + MEMORY
        resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)  # RLIMIT_CPU counts in whole seconds
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(kind, (soft, hard))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Discard stderr: the decoders print a line for each bad chunk, and a file can have a million of them."""
    ours = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(ours, 2)
        os.close(ours)
