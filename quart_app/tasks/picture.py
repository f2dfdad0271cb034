"""What a picture's file says of itself, without decoding it: a small file can claim to be a gigantic picture."""

from __future__ import annotations

import struct
from typing import NamedTuple


class Picture(NamedTuple):
    """Size in pixels, as stored (a camera's rotation is not applied)."""

    width: int
    height: int
    animated: bool


def measure(data: bytes) -> Picture:
    """Raises ValueError, saying why, for what is no whole PNG, JPEG, WebP, GIF or BMP."""
    try:
        for signature, reader in _READERS.items():
            if data.startswith(signature):
                found = reader(data)
                if found.width < 1 or found.height < 1:
                    raise ValueError("the picture has no pixels")
                return found
    except (struct.error, IndexError):
        raise ValueError("the picture ends too early") from None
    raise ValueError("the file is empty" if not data else "this is no PNG, JPEG, WebP, GIF or BMP picture")


def _png(data: bytes) -> Picture:
    """PNG, third edition: chunks of length, type, content and checksum; `acTL` before the pixels means frames."""
    width, height = struct.unpack_from(">II", data, 16)
    animated = False
    at = 8
    while (kind := data[at + 4 : at + 8]) != b"IEND":
        (length,) = struct.unpack_from(">I", data, at)
        animated |= kind == b"acTL"
        at += 12 + length
    return Picture(width, height, animated)


def _jpeg(data: bytes) -> Picture:
    """ITU-T T.81, annex B: segments up to the start of the scan; the size is in the start of the frame."""
    size = None
    at = 2
    while True:
        while data[at] == 0xFF and data[at + 1] == 0xFF:  # fill bytes
            at += 1
        marker = data[at + 1]
        if data[at] != 0xFF or marker in (0xD8, 0xD9):
            raise ValueError("the JPEG has no picture in it")
        (length,) = struct.unpack_from(">H", data, at + 2)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if size is not None:
                raise ValueError("the JPEG has more than one frame")
            size = struct.unpack_from(">HH", data, at + 5)
        if marker == 0xDA:
            break
        at += 2 + max(length, 2)
    if size is None or data.find(b"\xff\xd9", at) < 0:
        raise ValueError("the picture ends too early")
    return Picture(size[1], size[0], animated=False)


def _gif(data: bytes) -> Picture:
    """GIF89a: blocks of sub-blocks up to the trailer; more than one image descriptor means frames."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at, frames = 13 + _colours(flags), 0
    while data[at] != 0x3B:
        if data[at] == 0x2C:
            frames += 1
            if frames > 1:
                return Picture(width, height, animated=True)
            frame_width, frame_height, frame_flags = struct.unpack_from("<HHB", data, at + 5)
            width, height = max(width, frame_width), max(height, frame_height)
            at += 11 + _colours(frame_flags)
        elif data[at] == 0x21:
            at += 2
        else:
            raise ValueError("the GIF cannot be read")
        while data[at]:
            at += 1 + data[at]
        at += 1
    return Picture(width, height, animated=False)


def _colours(flags: int) -> int:
    """Bytes of the table of colours that these flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _webp(data: bytes) -> Picture:
    """RFC 9649: a RIFF file whose first chunk is VP8 (lossy), VP8L (lossless) or VP8X (with flags)."""
    (length,) = struct.unpack_from("<I", data, 4)
    if data[8:12] != b"WEBP":
        raise ValueError("this is no PNG, JPEG, WebP, GIF or BMP picture")
    if len(data) < length + 8:
        raise ValueError("the picture ends too early")
    match data[12:16]:
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", data, 26)
            return Picture(width & 0x3FFF, height & 0x3FFF, animated=False)
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", data, 21)
            return Picture((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, animated=False)
        case b"VP8X":
            width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
            return Picture(width, height, animated=bool(data[20] & 0x02))
    raise ValueError("the WebP cannot be read")


def _bmp(data: bytes) -> Picture:
    (length,) = struct.unpack_from("<I", data, 2)
    (head,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if head == 12 else "<ii", data, 18)
    if len(data) < length:
        raise ValueError("the picture ends too early")
    return Picture(abs(width), abs(height), animated=False)


_READERS = {
    b"\x89PNG\r\n\x1a\n": _png,
    b"\xff\xd8": _jpeg,
    b"GIF87a": _gif,
    b"GIF89a": _gif,
    b"RIFF": _webp,
    b"BM": _bmp,
}
