"""Any checkpoint → a folder that open_clip reads as local-dir:."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from .checkpoint import Checkpoint
from .config import CONFIG_FILE, OF_TRANSFORMERS
from .safetensors import write_safetensors
from .transformers_layout.config import open_clip_config
from .transformers_layout.keys import joined

WEIGHTS_FILE = "open_clip_model.safetensors"


def write_config(checkpoint: Checkpoint, folder: Path) -> None:
    """Raises UnsupportedModel for a model of transformers that open_clip has no towers for."""
    preprocess = {key: value for key, value in asdict(checkpoint.preprocess).items() if key not in OF_TRANSFORMERS}
    written = {"model_cfg": open_clip_config(checkpoint.config), "preprocess_cfg": preprocess}
    (folder / CONFIG_FILE).write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")


def write_weights(checkpoint: Checkpoint, folder: Path) -> Path:
    """By open_clip's names, as one file. Raises OSError, CorruptCheckpoint, UnsupportedModel."""
    path = folder / WEIGHTS_FILE
    write_safetensors(joined(checkpoint.read()).tensors(), path)
    return path
