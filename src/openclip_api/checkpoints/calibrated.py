"""Where the int8 graphs of a checkpoint lie that were calibrated on this machine (`openclip-api quantize`)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from .checkpoint import Checkpoint
from .hub import cache_folder


def calibrated_folder(checkpoint: Checkpoint, weights_sha256: str, cache_dir: Path | None) -> Path:
    """A folder of its own for each checkpoint, below the cache; it need not exist."""
    return cache_folder(cache_dir) / "openclip-api-int8" / checkpoint.fingerprint(weights_sha256, "int8")


def calibrated_graphs(folder: Path) -> dict[str, Path]:
    """The graphs that are there, by tower: "image", "text"."""
    paths = {tower: folder / f"{tower}.xml" for tower in ("image", "text")}
    return {tower: path for tower, path in paths.items() if path.is_file() and path.with_suffix(".bin").is_file()}


def sha256_of_graphs(graphs: Mapping[str, Path]) -> str:
    """One digest of all their bytes: another calibration is another model."""
    sha256 = hashlib.sha256()
    for _, path in sorted(graphs.items()):
        for file in (path, path.with_suffix(".bin")):
            sha256.update(file.read_bytes())
    return sha256.hexdigest()
