"""Requests that schemathesis makes up from our OpenAPI, valid and not, against the real process: `make fuzz`.

Every check is on but one: that what fits the schema is accepted. That an image is base64 of a picture, that one of
two fields must be there, and that a model exists are rules which no JSON schema of ours says.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ..support.server_process import ServerProcess

PROGRAM = Path(__file__).parents[2] / ".venv-fuzz" / "bin" / "schemathesis"
EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "50")
SEED = os.environ.get("FUZZ_SEED", "1")


@pytest.mark.fuzz
@pytest.mark.parametrize("key", [None, "a-key"])
def test_generated_requests(key: str | None):
    settings = {"API_KEY": key} if key else {}
    with ServerProcess(MODEL_NAME="emoji", MAX_TEXTS=32, MAX_ITEMS=32, **settings) as server:
        url = f"{server.http.base_url}/openapi.json"
        options = ["--max-examples", EXAMPLES, "--seed", SEED, "--exclude-checks", "positive_data_acceptance"]
        options += ["--max-response-time", "20", "--no-color", "--continue-on-failure", "--warnings", "off"]
        if key:
            options += ["--header", f"Authorization: Bearer {key}"]
        run = subprocess.run([PROGRAM, "run", url, *options], capture_output=True, text=True, timeout=1800)
        print(run.stdout[-3000:])
        assert run.returncode == 0, run.stdout[-6000:]
        assert server.stop() == 0
        assert "internal_error" not in server.output
        assert "Traceback" not in server.output
