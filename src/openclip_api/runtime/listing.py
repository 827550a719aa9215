"""All pairs of open_clip's table, as rows of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..checkpoints.hub import cached_weights
from ..checkpoints.registry import all_pretrained
from ..errors import UnsupportedModel
from ..models.build import architecture_of

COLUMNS = ("MODEL_NAME", "MODEL_PRETRAINED", "DIM", "PX", "ENGINE", "TOWERS", "CACHED", "REPOSITORY")


def listed_models(cache_dir: Path | None = None) -> Iterator[tuple[str, ...]]:
    """A row of COLUMNS for each pair; CACHED is the size in megabytes of weights that the cache has."""
    for entry in all_pretrained():
        engine, towers = engine_and_towers(entry.config)
        weights = cached_weights(entry.repo, entry.filename, cache_dir)
        size = f"{weights.stat().st_size / 1e6:.0f} MB" if weights else ""
        pixels = str(entry.config["vision_cfg"].get("image_size", 224))
        yield entry.name, entry.tag, str(entry.config["embed_dim"]), pixels, engine, towers, size, entry.repo


def engine_and_towers(model_cfg: Mapping[str, Any]) -> tuple[str, str]:
    """Which engine runs it on a CPU, and what its towers are."""
    try:
        return "openvino", architecture_of(model_cfg)
    except UnsupportedModel:
        return "torch", "open_clip's own"
