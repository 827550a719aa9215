"""All pairs of open_clip's table, as rows of text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..checkpoints.config import ModelConfig
from ..checkpoints.hub_weights import cached_weights
from ..checkpoints.registry import Pretrained, all_pretrained
from ..errors import UnsupportedModel
from ..models.architecture import describe_towers

# apple's DFN repositories, as they were last seen: open_clip_pytorch_model.bin alone. The table names no file there.
TORCH_ONLY = {"apple/DFN2B-CLIP-ViT-B-16", "apple/DFN2B-CLIP-ViT-L-14", "apple/DFN2B-CLIP-ViT-L-14-39B",
              "apple/DFN5B-CLIP-ViT-H-14", "apple/DFN5B-CLIP-ViT-H-14-378"}  # fmt: skip

COLUMNS = ("MODEL_NAME", "MODEL_PRETRAINED", "DIM", "PX", "ENGINE", "TOWERS", "WEIGHTS", "CACHED", "REPOSITORY")


def listed_models(cache_dir: Path | None = None) -> Iterator[tuple[str, ...]]:
    """A row of COLUMNS for each pair. CACHED is the size in megabytes of weights that are in the cache.

    WEIGHTS is what is known of the repository's file: its form where the cache has it, "torch" where the table names
    one of torch's, "unknown" else.
    """
    for entry in all_pretrained():
        engine, towers = engine_and_towers(entry.config)
        weights = cached_weights(entry.repo, entry.filename, cache_dir)
        size = f"{weights.stat().st_size / 1e6:.0f} MB" if weights else ""
        numbers = str(entry.config.embed_dim), str(entry.config.image_size)
        yield entry.name, entry.tag, *numbers, engine, towers, form_of_weights(entry, weights), size, entry.repo


def form_of_weights(entry: Pretrained, cached: Path | None = None) -> str:
    """ "safetensors", "torch" or "unknown". No hub is asked: what is not here is known only from its name."""
    name = cached.name if cached else entry.filename
    if name is None:
        return "torch" if entry.repo in TORCH_ONLY else "unknown"
    return "safetensors" if name.endswith(".safetensors") else "torch"


def engine_and_towers(config: ModelConfig) -> tuple[str, str]:
    """Which engine runs it on a CPU, and what its towers are."""
    try:
        return "openvino", describe_towers(config)
    except UnsupportedModel:
        return "torch", "open_clip's own"
