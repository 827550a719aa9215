"""All pairs of open_clip's table, as rows of text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..checkpoints.config import ModelConfig
from ..checkpoints.hub_weights import cached_weights
from ..checkpoints.registry import all_pretrained
from ..errors import UnsupportedModel
from ..models.architecture import describe_towers

COLUMNS = ("MODEL_NAME", "MODEL_PRETRAINED", "DIM", "PX", "ENGINE", "TOWERS", "CACHED", "REPOSITORY")


def listed_models(cache_dir: Path | None = None) -> Iterator[tuple[str, ...]]:
    """A row of COLUMNS for each pair. CACHED is the size in megabytes of weights that are in the cache."""
    for entry in all_pretrained():
        engine, towers = engine_and_towers(entry.config)
        weights = cached_weights(entry.repo, entry.filename, cache_dir)
        size = f"{weights.stat().st_size / 1e6:.0f} MB" if weights else ""
        numbers = str(entry.config.embed_dim), str(entry.config.image_size)
        yield entry.name, entry.tag, *numbers, engine, towers, size, entry.repo


def engine_and_towers(config: ModelConfig) -> tuple[str, str]:
    """Which engine runs it on a CPU, and what its towers are."""
    try:
        return "openvino", describe_towers(config)
    except UnsupportedModel:
        return "torch", "open_clip's own"
