"""What our HTTP figures are compared with: a plain Quart app that echoes JSON and answers a stored document."""

from __future__ import annotations

import json
import os
from typing import Any

from quart import Quart, request

app = Quart(__name__)

DOCUMENT = json.loads(os.environ.get("BENCHMARK_DOCUMENT", "{}"))
ID = "01a1fc61-0999-7055-98f1-7a68622e6dd5"


@app.post("/echo")
async def echo() -> dict[str, Any]:
    """As many bytes as our 202 for the same request."""
    sent = await request.get_json()
    return {"task_id": ID, "status": "pending", "message": "Echo", "status_url": f"/tasks/{ID}", "echo": sent}


@app.get("/document/<task_id>")
async def document(task_id: str) -> dict[str, Any]:
    return DOCUMENT
