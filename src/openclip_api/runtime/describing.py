"""`openclip-api info SOURCE`: what a file, a folder or a name is, and what would be served, without loading it."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np

from ..checkpoints import registry
from ..checkpoints.checkpoint import Checkpoint, find, has_config
from ..checkpoints.config import ModelConfig, preprocess_config
from ..checkpoints.damage import refusing
from ..checkpoints.forms import form_of_names
from ..checkpoints.hub_weights import cached_weights
from ..checkpoints.shards import shards_of
from ..checkpoints.sources import LocalFile, Pair, Source
from ..checkpoints.transformers_layout.keys import refuse_half
from ..checkpoints.weight_files import kind_of_file, read_weights
from ..checkpoints.weights import Weights
from ..errors import HubUnreachable, StartupError, UnsupportedModel
from ..models.build import build_towers, fits
from .listing import engine_and_towers

Facts: TypeAlias = dict[str, object]

DTYPES = {"float32": "fp32", "float16": "fp16", "uint16": "bf16"}
NAMES = {"open_clip": "open_clip's", "transformers": "transformers'", "other": "of neither open_clip nor transformers"}


def describe(source: Source, cache_dir: Path | None = None) -> Facts:
    """Reads headers and configs, computes nothing and downloads nothing (with HF_HUB_OFFLINE).

    Raises StartupError for what cannot be served; its line says what it is.
    """
    try:
        with refusing(str(source)):
            if isinstance(source, LocalFile) and source.name is None and not has_config(source.path.parent):
                return _of_file(source.path)
            return _of_checkpoint(source, find(source, cache_dir=cache_dir))
    except HubUnreachable:
        return _not_here(source, cache_dir)


def _of_file(path: Path) -> Facts:
    """A file alone does not tell its architecture, but its tensors' shapes fit few."""
    weights = read_weights(path)
    form = form_of_names(weights.names())
    fitting = _fitting(weights) if form == "open_clip" else []
    facts = {"source": str(path), **_tensors(path, weights)}
    if fitting:
        served = f"MODEL_NAME={fitting[0]} MODEL_PRETRAINED={path}"
        return facts | {"fits": fitting, "served_by": served, "warning": registry.ambiguity(fitting[0], path)}
    if form == "transformers":
        refuse_half(weights)
        return facts | {"problem": "put its config.json, preprocessor_config.json and tokenizer beside it"}
    return facts | {"problem": "no OpenCLIP model fits these tensors: put its open_clip_config.json beside it"}


def _of_checkpoint(source: Source, checkpoint: Checkpoint) -> Facts:
    weights = checkpoint.read()
    problem = None
    try:
        build_towers(checkpoint.config, checkpoint.preprocess, weights)
    except UnsupportedModel as error:
        problem = f"{error}; open_clip itself may run it: pip install 'openclip-api[torch]'"
    except StartupError as error:
        problem = str(error)
    stored = read_weights(checkpoint.weights)
    return {
        "source": str(source),
        **_tensors(checkpoint.weights, stored),
        **_of_config(checkpoint.config),
        "preprocessing": _preprocessing(checkpoint),
        "tokenizer": str(checkpoint.tokenizer) if checkpoint.tokenizer else "CLIP's own",
        "warning": checkpoint.warning,
        "problem": problem,
    }


def _not_here(source: Source, cache_dir: Path | None) -> Facts:
    """What the table knows of a model whose files are not all in the cache."""
    if not isinstance(source, Pair):
        return {"source": str(source), "weights": "not all files are in the cache: the start downloads the rest"}
    entry = registry.pretrained(source.name, source.tag)
    weights = cached_weights(entry.repo, entry.filename, cache_dir)
    preprocess = preprocess_config(entry.preprocess, entry.config.image_size)
    return {
        "source": str(source),
        "weights": str(weights or f"not in the cache: the start downloads them from {entry.repo}"),
        **_of_config(entry.config),
        "preprocessing": f"{preprocess.interpolation}, {preprocess.resize_mode}",
    }


def _tensors(path: Path, weights: Weights) -> Facts:
    tensors = weights.tensors()
    types = {DTYPES[str(tensor.dtype)] for tensor in tensors.values()}
    files = [path.parent / name for name in shards_of(path) or ()] or [path]
    return {
        "weights": str(path),
        "form": f"{kind_of_file(path)}, names are {NAMES[form_of_names(weights.names())]}",
        "bytes": sum(file.stat().st_size for file in files),
        "tensors": len(tensors),
        "parameters": int(sum(np.prod(tensor.shape) for tensor in tensors.values())),
        "numbers": ", ".join(sorted(types)),
    }


def _of_config(config: ModelConfig) -> Facts:
    engine, towers = engine_and_towers(config)
    return {
        "towers": towers,
        "engine": engine,
        "dimensions": config.embed_dim,
        "image_size": config.image_size,
        "context_length": config.tokenizer.context_length,
        "activation": config.activation,
    }


def _preprocessing(checkpoint: Checkpoint) -> str:
    preprocess = checkpoint.preprocess
    mean, std = ("/".join(f"{value:.3g}" for value in values) for values in (preprocess.mean, preprocess.std))
    return f"{preprocess.interpolation}, {preprocess.resize_mode}, mean {mean}, std {std}"


def _fitting(weights: Weights) -> list[str]:
    """The names of the table whose towers take these tensors, all of them, at the sizes that they have."""
    configs = {name: registry.architecture(name) for name in registry.names()}
    return [name for name, config in configs.items() if _has_its_sizes(config, weights) and fits(config, weights)]


def _has_its_sizes(config: ModelConfig, weights: Weights) -> bool:
    """Whether the position tables need no resizing, which would make another size's model fit too."""
    tensors = weights.tensors()
    text = tensors.get("positional_embedding", tensors.get("text.positional_embedding"))
    if text is not None and len(text) not in (config.tokenizer.context_length, config.tokenizer.context_length + 1):
        return False
    trunk = "visual.trunk." if config.timm_model_name else "visual."
    if config.timm_model_name is None and any(name.startswith("visual.trunk.") for name in tensors):
        return False
    table = tensors.get(f"{trunk}pos_embed", tensors.get(f"{trunk}positional_embedding"))
    patches = tensors.get(f"{trunk}conv1.weight", tensors.get(f"{trunk}patch_embed.proj.weight"))
    if table is None:
        return True
    patch = patches.shape[-1] if patches is not None and patches.ndim == 4 and patches.shape[-1] > 3 else 0
    grids = [config.image_size // patch] if patch else [config.image_size // 16, config.image_size // 32]
    return table.shape[-2] in {rows for grid in grids for rows in (grid * grid, grid * grid + 1)}
