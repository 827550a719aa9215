"""A model's name → its Embedder: find the checkpoint, choose and build the engine, try it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..checkpoints.calibrated import calibrated_folder, calibrated_graphs, sha256_of_graphs
from ..checkpoints.checkpoint import Checkpoint, find
from ..checkpoints.hub import Report
from ..checkpoints.weights import Weights, read_weights, sha256
from ..engines.base import Engine, Vectors
from ..engines.openvino import OpenVinoEngine, check_precision
from ..engines.torch import TorchEngine, is_installed
from ..errors import FailedSelfCheck, MissingExtra, UnsupportedModel
from ..inputs.decoder_processes import DecoderProcesses
from ..inputs.images import image_reader
from ..inputs.tokenizer import Tokenizer, build_tokenizer
from ..models.build import architecture_of, build_towers
from .embedder import Embedder
from .embedding import Kind, ModelInfo


def load(
    name: str = "ViT-B-32",
    tag: str | None = None,
    *,
    model_id: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    cache_dir: Path | None = None,
    max_megapixels: float = 40,
    jpeg_scaling: str = "auto",
    max_batch: int = 16,
    max_queue: int = 1024,
    max_queue_bytes: int = 512_000_000,
    text_cache_bytes: int = 0,
    decode_processes: int = 0,
    self_check: bool = True,
    report: Report = lambda stage, done, total: None,
) -> Embedder:
    """Find (and download) a checkpoint, build its graphs, compile them, try them.

    name, tag: see checkpoints.find. device: "auto" or "cpu" (OpenVINO on the CPU; what it cannot build runs
    on torch where that is installed), "cuda" or "mps" (torch). precision: "auto" (half where the device computes
    in it, else fp32), "fp32", "bf16", "int8" (as `openclip-api quantize` calibrated it, else with rounded
    weights). threads: cores to use, 0 for all. jpeg_scaling: "on" decodes large JPEGs to a fraction of their
    size, "off" never, "auto" where the image tower is a transformer and the precision not fp32. self_check: refuse a
    model whose first vectors are of no use. decode_processes: decode images in so many processes of their own, 0 in
    this one. report: told each stage, and bytes while downloading.

    Raises StartupError: UnknownModel, UnsupportedModel, CorruptCheckpoint, HubUnreachable, InvalidSetting,
    MissingExtra, FailedSelfCheck.
    """
    report("finding", 0, 0)
    checkpoint = find(name, tag, cache_dir=cache_dir, report=report)
    report("reading", 0, 0)
    weights = read_weights(checkpoint.weights)
    tokenizer = build_tokenizer(checkpoint.model_cfg["text_cfg"], checkpoint.tokenizer)
    # The digest of some hundred megabytes costs as long as compiling: let both run.
    with ThreadPoolExecutor(1) as hashing:
        digest = hashing.submit(sha256, checkpoint.weights)
        report("compiling", 0, 0)
        calibrated = {}
        if precision == "int8":
            calibrated = calibrated_graphs(calibrated_folder(checkpoint, digest.result(), cache_dir))
        engine = _engine(checkpoint, weights, device, precision, threads, calibrated)
        weights_sha256 = digest.result()
    checkpoint.verify(weights_sha256)
    vectors = _first_pass(engine, checkpoint.preprocess.size, tokenizer)
    embed_dim = int(checkpoint.model_cfg["embed_dim"])
    if self_check:
        for tower in vectors:
            check_vectors(tower, vectors[tower], embed_dim, engine.precision)
    numbers = f"int8 {sha256_of_graphs(calibrated)}" if calibrated else engine.precision
    scale_jpegs = jpeg_scaling == "on" or (
        # Half precision and int8 round more than scaled decoding does; fp32 promises open_clip's own vectors.
        jpeg_scaling == "auto" and engine.precision != "fp32" and _cuts_patches(checkpoint)
    )
    numbers += ", scaled JPEGs" if scale_jpegs else ""
    fingerprint = checkpoint.fingerprint(weights_sha256, numbers)
    info = _describe(checkpoint, weights, engine, tokenizer.context_length, fingerprint)
    weights.release()
    if model_id:
        info = replace(info, model_id=model_id)
    children = None
    if decode_processes:
        children = DecoderProcesses(checkpoint.preprocess, max_megapixels, decode_processes, scale_jpegs=scale_jpegs)
    return Embedder(
        info,
        engine,
        children or image_reader(checkpoint.preprocess, max_megapixels, scale_jpegs),
        tokenizer,
        max_batch=max_batch,
        max_queue=max_queue,
        max_queue_bytes=max_queue_bytes,
        text_cache_bytes=text_cache_bytes,
        on_close=children.close if children else lambda: None,
    )


def _engine(
    checkpoint: Checkpoint, weights: Weights, device: str, precision: str, threads: int, calibrated: dict[str, Path]
) -> Engine:
    """Raises UnsupportedModel, MissingExtra, InvalidSetting, CorruptCheckpoint."""
    if device in ("cuda", "mps"):
        return TorchEngine(checkpoint, device, precision)
    check_precision(precision)
    try:
        towers = build_towers(checkpoint.model_cfg, checkpoint.preprocess, weights)
    except UnsupportedModel as error:
        if not is_installed():
            raise MissingExtra(
                f"{error}; open_clip itself may run it: pip install 'openclip-api[torch]' and start again"
            ) from error
        return TorchEngine(checkpoint, device, precision)
    return OpenVinoEngine(towers, precision, threads, calibrated)


def _cuts_patches(checkpoint: Checkpoint) -> bool:
    """Whether the image tower starts with patches. Convolutions see finer differences: a small random FastViT lost
    0.002 of the cosine to scaled JPEGs, transformers lost 0.0001."""
    try:
        tower = architecture_of(checkpoint.model_cfg).partition(" ")[0]
    except UnsupportedModel:  # it runs on torch
        return False
    return tower in ("vision_transformer", "timm_vit", "eva")


def _first_pass(engine: Engine, image_size: int, tokenizer: Tokenizer) -> dict[Kind, Vectors]:
    """One image and one text, always the same: the first pass through a tower lays out its weights for this CPU,
    and no request should wait for that."""
    shape = (1, image_size, image_size, 3)
    pixels = (np.arange(np.prod(shape)) % 256).astype(np.uint8).reshape(shape)
    ids = tokenizer("a photo of a cat").ids[None]
    return {"image": engine.encode_images(pixels), "text": engine.encode_texts(ids)}


def check_vectors(tower: Kind, vectors: Vectors, embed_dim: int, precision: str) -> None:
    """Raises FailedSelfCheck unless there is one vector, of this length, that says something."""
    if vectors.shape != (1, embed_dim):
        raise FailedSelfCheck(
            f"the {tower} tower answers a test {tower} with shape {list(vectors.shape)}, embed_dim asks for "
            f"[1, {embed_dim}]: take the config that belongs to these weights"
        )
    if np.isfinite(vectors).all() and vectors.any():
        return
    found = "only zeros" if np.isfinite(vectors).all() else "NaN or infinity"
    advice = "its weights are damaged or not trained, take others"
    if precision != "fp32":
        advice = f"set PRECISION=fp32 (it is {precision}); if that does not help, {advice}"
    raise FailedSelfCheck(f"the {tower} tower answers a test {tower} with {found}: {advice}")


def _describe(
    checkpoint: Checkpoint, weights: Weights, engine: Engine, context_length: int, fingerprint: str
) -> ModelInfo:
    log_scale = weights.scalar("logit_scale")
    return ModelInfo(
        model_id=checkpoint.model_id,
        name=checkpoint.name,
        tag=checkpoint.tag,
        fingerprint=fingerprint,
        embed_dim=int(checkpoint.model_cfg["embed_dim"]),
        image_size=checkpoint.preprocess.size,
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
    )
