"""`detect-faces`: a real portrait, a picture without a face, and files that only pretend to be pictures."""

from __future__ import annotations

import struct
import subprocess
import sys

import pytest
from pytest import CaptureFixture

from tests.acceptance.harness import ROOT
from tests.tasks.photos import (
    PATIENT,
    PICTURES,
    PORTRAIT,
    assert_is_the_face,
    chunk,
    cv2,
    detected,
    encoded,
    np,
    png,
    portrait,
    scans,
    turned,
)
from tests.web.conftest import Serve
from tests.web.forms import FORM, form, send, stored, upload
from tests.web.site import Site, assert_problem

pytestmark = pytest.mark.once


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


@pytest.mark.parametrize("orientation", [3, 6, 8])
async def test_a_turned_photo_is_looked_at_as_people_see_it(site: Site, orientation: int) -> None:
    """A camera stores the pixels as they come and says how to hold the picture; the face is found when it stands."""
    turns = {3: cv2.ROTATE_180, 6: cv2.ROTATE_90_COUNTERCLOCKWISE, 8: cv2.ROTATE_90_CLOCKWISE}
    stored_so = cv2.rotate(portrait()[:400], turns[orientation])
    task = await detected(site, turned(encoded(".jpg", stored_so), orientation))
    assert_is_the_face(task["result"])
    served = await site.get(task["result"]["file_url"])
    assert cv2.imdecode(np.frombuffer(served.body, np.uint8), cv2.IMREAD_COLOR).shape == (400, 512, 3)


@pytest.mark.parametrize("size", [(1, 1), (2000, 1), (1, 65_500)])
async def test_the_smallest_and_the_narrowest_pictures_have_no_face(site: Site, size: tuple[int, int]) -> None:
    width, height = size
    task = await detected(site, png(width, height, (b"\x00" + b"\x80" * 3 * width) * height))
    assert (task["error"], task["result"] and task["result"]["count"]) == (None, 0)


async def test_a_photo_of_forty_megapixels_is_looked_at(site: Site) -> None:
    large = cv2.resize(portrait(), (6324, 6324))
    assert_is_the_face((await detected(site, encoded(".jpg", large)))["result"], scale=6324 / 512)


@pytest.mark.parametrize("colours", ["16 bits", "grey", "transparent"])
async def test_every_depth_and_number_of_colours_is_read(site: Site, colours: str) -> None:
    photo = portrait()
    picture = {
        "16 bits": lambda: photo.astype(np.uint16) * 257,
        "grey": lambda: cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY),
        "transparent": lambda: cv2.cvtColor(photo, cv2.COLOR_BGR2BGRA),
    }[colours]()
    assert_is_the_face((await detected(site, encoded(".png", picture)))["result"])


async def test_the_picture_with_the_boxes_is_its_owners_alone(serve: Serve) -> None:
    keys = {name: f"{name}-s-key-is-long-enough" for name in ("ann", "bob")}
    async with serve(api_keys=",".join(f"{name}:{key}" for name, key in keys.items())) as site:
        of_ann, of_bob = ({"X-API-Key": key} for key in keys.values())
        made = await send(site, form(("photo", "a", PORTRAIT)), f"/tasks/detect-faces{PATIENT}", **of_ann)
        file_url = (await site.get(f"/tasks/{made.id}?wait=20", of_ann)).json["result"]["file_url"]
        served = await site.get(file_url, of_ann)
        assert served.status == 200
        assert served.headers["X-Content-Type-Options"] == "nosniff"
        assert served.headers["Content-Disposition"].startswith("attachment")
        assert_problem(await site.get(file_url, of_bob), 404)
        assert_problem(await site.get(file_url), 401)


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
    "nothing": (b"", "no picture in"),
    "text": (b"hello, I am a picture", "no picture in"),
    "text that calls itself a PNG": (b"\x89PNG\r\n\x1a\n" + b"text " * 100, "no picture in"),
    "half a PNG": (PORTRAIT[: len(PORTRAIT) // 2], "damaged"),
    "half a JPEG": (JPEG[: len(JPEG) // 2], "damaged: image file is truncated"),
    "half a WebP": (WEBP[: len(WEBP) // 2], "damaged"),
    "half a GIF": (GIF[: len(GIF) // 2], "damaged: image file is truncated"),
    "half a BMP": (BMP[: len(BMP) // 2], "damaged: image file is truncated"),
    "the first bytes of a JPEG": (b"\xff\xd8", "no picture in"),
    "a PNG without pixels": (png(0, 10), "no picture in"),
    "a decompression bomb": (png(50_000, 50_000, b"\x00" * 5_000_000), "megapixels"),
    "a PNG of one long line": (png(65_501, 1, b"\x00" * 196_504), "on a side"),
    "a PNG of two sizes": (png(9, 9, more=png(30_000, 30_000)[8:33]), "30000 x 30000"),
    "a PNG that lies about its size": (png(6000, 6000, b"\x00" * 100), "damaged"),
    "an animated PNG": (animation(".png"), "animated"),
    "an animated GIF": (animation(".gif"), "animated"),
    "an animated WebP": (animation(".webp"), "animated"),
    "a GIF of gigantic size": (GIF[:6] + struct.pack("<HH", 65535, 65535) + GIF[10:], "megapixels"),
    "a JPEG of gigantic size": (JPEG.replace(b"\x02\x00\x02\x00", b"\xff\x00\xff\x00", 1), "megapixels"),
    "a BMP of gigantic size": (BMP[:18] + struct.pack("<ii", 100_000, -100_000) + BMP[26:], "megapixels"),
    "a JPEG with two frames": (
        JPEG[:2] + b"\xff\xc0\x00\x0b\x08\x00\x10\x00\x10\x01\x01\x11\x00" * 2 + JPEG[2:], "damaged"
    ),
    "a PNG whose chunk has no end": (PORTRAIT[:33] + struct.pack(">I", 2**31) + PORTRAIT[37:], "damaged"),
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


async def test_a_small_file_that_takes_for_ever_to_decode_is_given_up(site: Site) -> None:
    """`timeout` would allow it two minutes; its processor time is over after three seconds."""
    task = await detected(site, scans(7400, 5400, 100_000))
    assert (task["status"], task["error"]["type"]) == ("failed", "process_died")
    assert "processor time was over" in task["error"]["message"]
    assert_is_the_face((await detected(site, PORTRAIT))["result"])


async def test_what_a_decoder_says_of_a_file_is_not_the_servers_output(site: Site, capfd: CaptureFixture[str]) -> None:
    """A line for each chunk it dislikes: a photo of 10 MB could fill the log with a million of them."""
    chunks = chunk(b"gAMA", bytes(4)) * 1000
    task = await detected(site, png(64, 64, (b"\x00" + b"\x80" * 192) * 64, more=chunks))
    assert (task["status"], task["result"]["count"]) == ("completed", 0)
    assert "libpng" not in capfd.readouterr().err


LIMITED = """
import importlib, mmap, signal
module = importlib.import_module("quart_app.tasks.detect_faces")
with module._limits():
    mmap.mmap(-1, module.MEMORY // 2)
    try:
        mmap.mmap(-1, module.MEMORY * 2)
    except OSError as error:
        print(error.strerror)
mmap.mmap(-1, module.MEMORY * 2)
print("free again", signal.getitimer(signal.ITIMER_PROF))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="THE ADDRESS SPACE IS LIMITED ON LINUX ALONE")
def test_the_memory_that_a_photo_may_take_is_limited_and_that_of_the_next_task_is_not() -> None:
    told = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, cwd=ROOT, check=True)
    assert told.stdout.splitlines() == ["Cannot allocate memory", "free again (0.0, 0.0)"]
