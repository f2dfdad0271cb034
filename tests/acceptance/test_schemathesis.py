"""schemathesis reads /openapi.json and tries what is in it: examples, edge values, wrong requests, chains."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import ROOT

pytestmark = pytest.mark.once

HERE = Path(__file__).parent


def test_the_server_does_what_its_document_says(make_server: MakeServer, tmp_path: Path) -> None:
    pytest.importorskip("schemathesis", reason="SCHEMATHESIS IS NOT INSTALLED: requirements-dev.txt has it")
    kinds = ROOT / "tests" / "web" / "typed_kinds.py"
    server = make_server(tasks=kinds, simulated_add_seconds=0, simulated_steps="0").start().wait_ready()
    made = server.client.post("/keys", json={"name": "chief", "scopes": ["admin"]})
    key = {"Authorization": f"Bearer {made.json()['key']}"}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml")),
            *("run", f"{server.url}/openapi.json", "-H", f"Authorization: {key['Authorization']}"),
            *("--phases", "examples,coverage,fuzzing,stateful"),
        ],
        cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.acceptance.schemathesis_hooks", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    assert "Traceback" not in server.stderr, server.stderr.partition("Traceback")[2][:8000]
    assert server.running
    assert server.client.get("/tasks", headers=key).status_code == 200, "the key was lost, and the rest was about 401"
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in done.stdout, done.stdout
