"""`detect-faces`: a real portrait, a picture without a face, and files that only pretend to be pictures."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.web.forms import FORM, form, send, stored, upload
from tests.web.site import Site, assert_problem

cv2 = pytest.importorskip("cv2", reason="OPENCV IS NOT INSTALLED: requirements-dev.txt has it")
skimage = pytest.importorskip("skimage", reason="SCIKIT-IMAGE IS NOT INSTALLED: requirements-dev.txt has it")
np = pytest.importorskip("numpy")

PICTURES = Path(skimage.__file__).parent / "data"
PORTRAIT = (PICTURES / "astronaut.png").read_bytes()
PATIENT = "?timeout=120"
FACE = (224, 115)  # a point of the face in the portrait


async def detected(site: Site, photo: bytes, query: str = PATIENT) -> Any:
    """The ended task of a photo sent in a form."""
    answer = await send(site, form(("photo", "photo", photo)), f"/tasks/detect-faces{query}")
    return await site.ended(answer.id)


def encoded(kind: str, picture: Any) -> bytes:
    data: bytes = cv2.imencode(kind, picture)[1].tobytes()
    return data


def portrait() -> Any:
    return cv2.imdecode(np.frombuffer(PORTRAIT, np.uint8), cv2.IMREAD_COLOR)


def assert_is_the_face(result: Any, scale: float = 1.0) -> None:
    assert result["count"] == len(result["boxes"]) == 1
    ((x, y, w, h),) = result["boxes"]
    assert x < FACE[0] * scale < x + w
    assert y < FACE[1] * scale < y + h
    assert 60 * scale < w < 160 * scale


async def test_the_face_of_a_portrait_is_found_and_drawn(site: Site) -> None:
    task = await detected(site, PORTRAIT)
    assert task["status"] == "completed", task["error"]
    assert_is_the_face(task["result"])
    assert task["result"]["file_url"] == f"/reports/faces-{task['task_id']}.jpg"
    served = await site.get(task["result"]["file_url"])
    assert (served.status, served.headers["Content-Type"]) == (200, "image/jpeg")
    drawn = cv2.imdecode(np.frombuffer(served.body, np.uint8), cv2.IMREAD_COLOR)
    assert drawn.shape == (512, 512, 3)
    x, y, w, _ = task["result"]["boxes"][0]
    blue, green, red = (int(number) for number in drawn[y, x + w // 2])
    assert green > 150 > max(blue, red)


async def test_there_is_no_face_in_a_cup_of_coffee(site: Site) -> None:
    task = await detected(site, (PICTURES / "coffee.png").read_bytes())
    assert (task["result"]["count"], task["result"]["boxes"]) == (0, [])


async def test_boxes_are_in_the_coordinates_of_the_photo_that_was_sent(site: Site) -> None:
    large = cv2.resize(portrait(), None, fx=6, fy=6)
    assert_is_the_face((await detected(site, encoded(".jpg", large)))["result"], scale=6)


@pytest.mark.parametrize("kind", [".jpg", ".webp", ".bmp", ".gif"])
async def test_every_format_that_is_named_is_read(site: Site, kind: str) -> None:
    assert_is_the_face((await detected(site, encoded(kind, portrait())))["result"])


async def test_an_upload_can_be_the_photo_too(site: Site) -> None:
    upload_id = await upload(site, PORTRAIT)
    assert_is_the_face((await site.run("detect-faces", {"upload_id": upload_id}, PATIENT))["result"])


async def test_the_same_key_and_photo_are_one_task_another_photo_is_refused(site: Site) -> None:
    body = form(("photo", "a.png", PORTRAIT))
    first = await send(site, body, "/tasks/detect-faces?delay=60", **{"Idempotency-Key": "k"})
    again = await send(site, body, "/tasks/detect-faces?delay=60", **{"Idempotency-Key": "k"})
    other = form(("photo", "a.png", PORTRAIT + b"x"))
    assert (first.status, again.id, again.headers["Idempotency-Replayed"]) == (202, first.id, "true")
    refused = await send(site, other, "/tasks/detect-faces?delay=60", **{"Idempotency-Key": "k"})
    assert_problem(refused, 422)
    runtime = site.app.extensions["quart_app"].runtime
    await runtime.uploads.run_once(runtime.clock.now())
    assert stored(site) == [PORTRAIT]


async def test_a_form_that_starts_nothing_leaves_nothing(site: Site) -> None:
    assert_problem(await send(site, form(("photo", "a", PORTRAIT)), "/tasks/detect-faces?unknown=1"), 400)
    assert_problem(await send(site, form(("file", "a", PORTRAIT)), "/tasks/detect-faces"), 422, "/photo")
    runtime = site.app.extensions["quart_app"].runtime
    await runtime.uploads.run_once(runtime.clock.now())
    assert (stored(site), await site.total()) == ([], 0)


async def test_without_opencv_the_answer_says_how_to_get_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for answer in (
        await send(site, form(("photo", "a", PORTRAIT)), "/tasks/detect-faces", FORM),
        await site.post("/tasks/detect-faces", {"upload_id": "0" * 32}),
    ):
        assert_problem(answer, 501, part="pip install")
    assert stored(site) == []


# --- files that no picture is in


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, pixels: bytes = b"", more: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + more + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def animation(kind: str) -> bytes:
    """The portrait twice, as frames."""
    frames = cv2.Animation()
    frames.frames = [portrait()[:64, :64], portrait()[64:128, :64]]
    frames.durations = [100, 100]
    return bytes(cv2.imencodeanimation(kind, frames)[1].tobytes())


JPEG = encoded(".jpg", portrait())
WEBP = encoded(".webp", portrait())
GIF = encoded(".gif", portrait()[:64, :64])
BMP = encoded(".bmp", portrait()[:64, :64])
HOSTILE = {
    "nothing": (b"", "empty"),
    "text": (b"hello, I am a picture", "no PNG"),
    "text that calls itself a PNG": (b"\x89PNG\r\n\x1a\n" + b"text " * 100, "too early"),
    "half a PNG": (PORTRAIT[: len(PORTRAIT) // 2], "too early"),
    "half a JPEG": (JPEG[: len(JPEG) // 2], "too early"),
    "half a WebP": (WEBP[: len(WEBP) // 2], "too early"),
    "half a GIF": (GIF[: len(GIF) // 2], "too early"),
    "half a BMP": (BMP[: len(BMP) // 2], "too early"),
    "the first bytes of a JPEG": (b"\xff\xd8", "too early"),
    "a PNG without pixels": (png(0, 10), "no pixels"),
    "a decompression bomb": (png(50_000, 50_000, b"\x00" * 5_000_000), "megapixels"),
    "a PNG that lies about its size": (png(6000, 6000, b"\x00" * 100), "damaged"),
    "an animated PNG": (animation(".png"), "animated"),
    "an animated GIF": (animation(".gif"), "animated"),
    "an animated WebP": (animation(".webp"), "animated"),
    "a GIF of gigantic size": (GIF[:6] + struct.pack("<HH", 65535, 65535) + GIF[10:], "megapixels"),
    "a JPEG of gigantic size": (JPEG.replace(b"\x02\x00\x02\x00", b"\xff\x00\xff\x00", 1), "megapixels"),
    "a BMP of gigantic size": (BMP[:18] + struct.pack("<ii", 100_000, -100_000) + BMP[26:], "megapixels"),
    "a JPEG with two frames": (
        JPEG[:2] + b"\xff\xc0\x00\x0b\x08\x00\x10\x00\x10\x01\x01\x11\x00" * 2 + JPEG[2:], "more than one"
    ),
    "a PNG whose chunk has no end": (PORTRAIT[:33] + struct.pack(">I", 2**31) + PORTRAIT[37:], "too early"),
}  # fmt: skip


async def test_what_is_no_picture_fails_with_a_reason(site: Site) -> None:
    """One server for all: the first child is warm for the others, and must survive each of them."""
    wrong = {}
    for name, (data, reason) in HOSTILE.items():
        task = await detected(site, data)
        if (task["status"], task["attempt"]) != ("failed", 1) or reason not in task["error"]["message"]:
            wrong[name] = (task["status"], task["error"])
    assert wrong == {}
    history = (await site.get(f"/tasks/{task['task_id']}/history")).json
    assert [attempt["error"]["traceback"] for attempt in history["attempts"]] == [None]
    assert_is_the_face((await detected(site, PORTRAIT))["result"])
