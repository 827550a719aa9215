"""Stand-in until the reader of all forms is merged."""

from __future__ import annotations

from pathlib import Path

from .digest import file_sha256
from .safetensors import read_safetensors
from .weights import Weights


def read_weights(path: Path) -> Weights:
    return read_safetensors(path)


def weights_sha256(path: Path) -> str:
    return file_sha256(path)
