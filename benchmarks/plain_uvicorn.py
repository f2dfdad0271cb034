"""`python -m benchmarks.plain_uvicorn --config hypercorn.toml`: the plain Quart app on a stock uvicorn."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import uvicorn

if __name__ == "__main__":
    host, _, port = tomllib.loads(Path(sys.argv[2]).read_text("utf-8"))["bind"][0].rpartition(":")
    uvicorn.run("benchmarks.plain:app", host=host, port=int(port), log_level="warning", access_log=False)
