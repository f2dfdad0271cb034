"""Forms with a file, as clients send them."""

from __future__ import annotations

from typing import Any

from tests.web.site import Answer, Site

FORM = "multipart/form-data; boundary=B"


def form(*parts: tuple[str, str | None, bytes], more: str = "") -> bytes:
    """Parts are (name, filename, content)."""
    body = b""
    for name, filename, content in parts:
        said = f'; filename="{filename}"' if filename is not None else ""
        body += f'--B\r\nContent-Disposition: form-data; name="{name}"{said}\r\n{more}\r\n'.encode() + content + b"\r\n"
    return body + b"--B--\r\n"


async def send(site: Site, body: bytes, path: str = "/uploads", content_type: str = FORM, **headers: Any) -> Answer:
    return await site.request("POST", path, body, headers, content_type=content_type)


async def upload(site: Site, content: bytes, name: str = "file.bin", **headers: Any) -> str:
    """The id of a new upload."""
    answer = await send(site, form(("file", name, content)), **headers)
    assert answer.status == 201, answer.body
    upload_id: str = answer.json["upload_id"]
    return upload_id


def stored(site: Site) -> list[bytes]:
    """What is in the folder of the uploads, unfinished files too."""
    folder = site.settings.data_path / "uploads"
    return sorted(path.read_bytes() for path in folder.iterdir()) if folder.is_dir() else []
