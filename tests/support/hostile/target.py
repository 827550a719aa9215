"""The real server as hostile requests meet it: the built-in model, a store, all limits but the pixels' as they are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from ..cost import Bound, Target
from ..server_process import OURS, ServerProcess
from .request import MODEL

SAMPLES = Path(__file__).parents[3] / "samples"
MEGAPIXELS = 4  # an image of as many pixels as are allowed is dear; with fewer of them the constant can be small

# Measured on two cores: see benchmarks/CHAOS.md. A busy machine may take several times what is usual.
BOUND = Bound(seconds=0.6, seconds_per_mb=0.1, mb=150, mb_per_mb=10)


def write_store(folder: Path) -> Path:
    """A store of the samples' pictures, for POST /search."""
    environment = {key: value for key, value in os.environ.items() if not OURS.match(key)}
    environment |= {"MODEL_NAME": MODEL, "PRECISION": "fp32", "STORE": str(folder / "s.lance")}
    command = [sys.executable, "-m", "openclip_api", "index", str(SAMPLES), "--progress", "quiet"]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return folder / "s.lance"


def hostile_target(store: Path, decode: str) -> Target:
    settings = {"MODEL_NAME": MODEL, "PRECISION": "fp32", "STORE": store, "DECODE": decode}
    settings |= {"MAX_IMAGE_MEGAPIXELS": MEGAPIXELS, "BODY_TIMEOUT": 5}
    settings |= {"TEXT_CACHE_MB": 0}  # or what is measured again would cost nothing
    if decode == "process":
        settings |= {"IMAGE_FORMATS": "all"}
    start: Callable[[], ServerProcess] = lambda: ServerProcess(**settings)  # noqa: E731
    return Target(start, BOUND)
