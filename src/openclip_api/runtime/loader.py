"""A model's name → its Embedder: find the checkpoint, choose and build the engine, try it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoints.calibrated import calibrated_folder, calibrated_graphs, sha256_of_graphs
from ..checkpoints.checkpoint import Checkpoint, find
from ..checkpoints.config import ModelConfig, PreprocessConfig
from ..checkpoints.damage import refusing
from ..checkpoints.hub import Report
from ..checkpoints.sources import Source, read_source
from ..checkpoints.weight_files import weights_sha256
from ..checkpoints.weights import Weights
from ..engines.base import Engine, Vectors
from ..engines.cores import available_cores
from ..engines.memory import warn_of_small_memory
from ..engines.openvino import OpenVinoEngine, check_device, check_precision
from ..engines.torch import TorchEngine, is_installed
from ..errors import FailedSelfCheck, InvalidSetting, MissingExtra, UnsupportedModel
from ..inputs.decoder_processes import DecoderProcesses
from ..inputs.decoder_threads import DecoderThreads
from ..inputs.formats import chosen_formats
from ..inputs.images import READINGS, image_reader
from ..inputs.tokenizer import Tokenizer, build_tokenizer
from ..models.architecture import image_architecture, vocab_size
from ..models.build import build_towers
from ..models.hf import ENCODERS
from .embedder import Embedder
from .embedding import Kind, ModelInfo
from .load_options import LoadOptions

log = logging.getLogger("openclip_api")


def load(
    name: str | Source = "ViT-B-32",
    tag: str | None = None,
    options: LoadOptions | None = None,
    *,
    model_id: str | None = None,
    report: Report = lambda stage, done, total: None,
    **changes: Any,
) -> Embedder:
    """Find (and download) a checkpoint, build its graphs, compile them, try them.

    name, tag: what checkpoints.sources.read_source reads, or a Source. model_id: the name that answers carry, None to
    derive it from the checkpoint. report: called with each stage, and with bytes while downloading. changes: fields of
    LoadOptions, each in place of what `options` says: load("emoji", precision="fp32").

    Raises TypeError for a change that is no field of LoadOptions, and StartupError: UnknownModel, UnsupportedModel,
    CorruptCheckpoint, HubUnreachable, InvalidSetting, MissingExtra, FailedSelfCheck.
    """
    options = replace(options or LoadOptions(), **changes)
    if options.image_reading not in READINGS:
        raise InvalidSetting(f"image_reading={options.image_reading!r}: expected one of {', '.join(READINGS)}")
    source = read_source(name, tag) if isinstance(name, str) else name
    with refusing(str(source)):
        return _load(source, options, model_id, report)


def _load(source: Source, options: LoadOptions, model_id: str | None, report: Report) -> Embedder:
    report("finding", 0, 0)
    checkpoint = find(source, cache_dir=options.cache_dir, report=report)
    report("reading", 0, 0)
    if checkpoint.warning:
        log.warning("openclip-api: %s", checkpoint.warning)
    with refusing(str(checkpoint.weights)):
        weights = checkpoint.read()
    warn_of_small_memory(sum(tensor.size for tensor in weights.tensors().values()))
    tokenizer = build_tokenizer(checkpoint.config.tokenizer, checkpoint.tokenizer, vocab_size(checkpoint.config))
    report("compiling", 0, 0)
    engine, digest, calibrated = _compiled(checkpoint, weights, options)
    vectors = _first_pass(engine, checkpoint.config.image_size, tokenizer)
    if options.self_check:
        for tower in vectors:
            check_vectors(tower, vectors[tower], checkpoint.config.embed_dim, engine.precision)
    scale_jpegs = _scales_jpegs(options.jpeg_scaling, engine.precision, checkpoint.config)
    numbers = _numbers(engine.precision, calibrated, scale_jpegs, options.image_reading)
    fingerprint = checkpoint.fingerprint(digest, numbers)
    info = _describe(model_id, checkpoint, weights, engine, tokenizer.context_length, fingerprint, options)
    weights.release()
    return _embedder(info, engine, checkpoint, tokenizer, options, scale_jpegs)


def _compiled(checkpoint: Checkpoint, weights: Weights, options: LoadOptions) -> tuple[Engine, str, Mapping[str, Path]]:
    """The engine, the weights' SHA-256, and the calibrated graphs that the engine runs, by tower."""
    # To hash some hundred megabytes takes as long as to compile: do both at once.
    with ThreadPoolExecutor(1) as hashing:
        hashed = hashing.submit(weights_sha256, checkpoint.weights)
        calibrated: dict[str, Path] = {}
        if options.precision == "int8":
            calibrated = calibrated_graphs(calibrated_folder(checkpoint, hashed.result(), options.cache_dir))
        engine = _choose_engine(checkpoint, weights, options, calibrated)
        digest = hashed.result()
    checkpoint.verify(digest)
    return engine, digest, calibrated


def _choose_engine(
    checkpoint: Checkpoint, weights: Weights, options: LoadOptions, calibrated: Mapping[str, Path]
) -> Engine:
    """Raises UnsupportedModel, MissingExtra, InvalidSetting, CorruptCheckpoint."""
    if options.device in ("cuda", "mps"):
        return TorchEngine(checkpoint, options.device, options.precision)
    device = "cpu" if options.device == "auto" else options.device
    if device != "cpu":  # or OpenVINO would look for GPUs and load their drivers, at each start
        check_device(device)
    check_precision(options.precision, device)
    try:
        towers = build_towers(checkpoint.config, checkpoint.preprocess, weights)
    except UnsupportedModel as error:
        if device != "cpu":
            raise
        if not is_installed():
            raise MissingExtra(
                f"{error}; open_clip itself may run it: pip install 'openclip-api[torch]' and start again"
            ) from error
        return TorchEngine(checkpoint, options.device, options.precision)
    return OpenVinoEngine(towers, options.precision, options.threads, calibrated, device)


def _first_pass(engine: Engine, image_size: int, tokenizer: Tokenizer) -> dict[Kind, Vectors]:
    """The vectors of one image and one text, always the same ones.

    The first pass through a tower arranges its weights for this CPU. No request should wait for that.
    """
    shape = (1, image_size, image_size, 3)
    pixels = (np.arange(np.prod(shape)) % 256).astype(np.uint8).reshape(shape)
    ids = tokenizer("a photo of a cat").ids[None]
    return {"image": engine.encode_images(pixels), "text": engine.encode_texts(ids)}


def check_vectors(tower: Kind, vectors: Vectors, embed_dim: int, precision: str) -> None:
    """Raises FailedSelfCheck unless there is one vector of this length, finite and not zero."""
    if vectors.shape != (1, embed_dim):
        raise FailedSelfCheck(
            f"the {tower} tower gives shape {list(vectors.shape)} for a test {tower}, but embed_dim asks for "
            f"[1, {embed_dim}]: use the config that belongs to these weights"
        )
    if np.isfinite(vectors).all() and vectors.any():
        return
    found = "only zeros" if np.isfinite(vectors).all() else "NaN or infinity"
    advice = "its weights are damaged or not trained: use others"
    if precision != "fp32":
        advice = f"set PRECISION=fp32 (it is {precision}); if that does not help, {advice}"
    raise FailedSelfCheck(f"the {tower} tower gives {found} for a test {tower}: {advice}")


def _scales_jpegs(jpeg_scaling: str, precision: str, config: ModelConfig) -> bool:
    if jpeg_scaling != "auto":
        return jpeg_scaling == "on"
    # bf16 and int8 round more than scaled decoding does. fp32 promises open_clip's own vectors.
    return precision != "fp32" and _cuts_patches(config)


def _cuts_patches(config: ModelConfig) -> bool:
    # With a text encoder from a folder JPEGs are not scaled: else such a model's fingerprint would change.
    if config.hf_model_name is not None and config.hf_model_name not in ENCODERS:
        return False
    try:
        return image_architecture(config).cuts_patches
    except UnsupportedModel:  # it runs on torch
        return False


def _numbers(precision: str, calibrated: Mapping[str, Path], scale_jpegs: bool, reading: str) -> str:
    """For the fingerprint: how vectors are computed, besides what the checkpoint says.

    open_clip's reading adds nothing: it was the only one in version 0.1, and its fingerprints stay.
    """
    numbers = f"int8 {sha256_of_graphs(calibrated)}" if calibrated else precision
    return numbers + (", scaled JPEGs" if scale_jpegs else "") + ("" if reading == "open_clip" else f", {reading}")


def _describe(
    model_id: str | None,
    checkpoint: Checkpoint,
    weights: Weights,
    engine: Engine,
    context_length: int,
    fingerprint: str,
    options: LoadOptions,
) -> ModelInfo:
    log_scale = weights.scalar("logit_scale")
    return ModelInfo(
        model_id=model_id or checkpoint.model_id,
        name=checkpoint.name,
        tag=checkpoint.tag,
        fingerprint=fingerprint,
        embed_dim=checkpoint.config.embed_dim,
        image_size=checkpoint.preprocess.size,
        activation=checkpoint.config.activation,
        context_length=context_length,
        mean=checkpoint.preprocess.mean,
        std=checkpoint.preprocess.std,
        interpolation=checkpoint.preprocess.interpolation,
        resize_mode=checkpoint.preprocess.resize_mode,
        precision=engine.precision,
        engine=engine.name,
        device=engine.device,
        logit_scale=None if log_scale is None else float(np.exp(log_scale)),
        logit_bias=weights.scalar("logit_bias"),
        image_reading=options.image_reading,
    )


def _embedder(
    info: ModelInfo,
    engine: Engine,
    checkpoint: Checkpoint,
    tokenizer: Tokenizer,
    options: LoadOptions,
    scale_jpegs: bool,
) -> Embedder:
    decoders = image_decoders(checkpoint.preprocess, options, scale_jpegs)
    return Embedder(
        info,
        engine,
        decoders,
        tokenizer,
        max_batch=options.max_batch,
        max_queue=options.max_queue,
        max_queue_bytes=options.max_queue_bytes,
        text_cache_bytes=options.text_cache_bytes,
        max_pixels=options.max_megapixels * 1e6,
        decoders=decoders.count,
        on_close=decoders.close,
    )


def image_decoders(
    config: PreprocessConfig, options: LoadOptions, scale_jpegs: bool = False
) -> DecoderProcesses | DecoderThreads:
    """What reads images as `options` say. Close it at the end. Raises InvalidSetting, MissingExtra."""
    formats = chosen_formats(options.image_formats)
    if options.decode_processes:
        return DecoderProcesses(
            config,
            options.max_megapixels,
            options.decode_processes,
            scale_jpegs=scale_jpegs,
            reading=options.image_reading,
            formats=formats,
        )
    read = image_reader(config, options.max_megapixels, scale_jpegs, options.image_reading, formats)
    return DecoderThreads(read, available_cores() + 1)
