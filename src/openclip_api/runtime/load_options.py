"""How a model is loaded and run: what does not depend on which model it is. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LoadOptions:
    """device: "auto" or "cpu" (OpenVINO on the CPU; what it cannot build runs on torch where that is installed), "gpu"
    or "npu" (OpenVINO's own), "cuda" or "mps" (torch).
    precision: "auto" (half where the device computes in it, else fp32), "fp32", "bf16", or "int8" (as `openclip-api
    quantize` calibrated it, else with rounded weights).
    threads: cores to compute on, 0 for all.
    cache_dir: where downloads are kept, None for the hub's own cache.
    max_megapixels: the largest image.
    jpeg_scaling: "on" decodes large JPEGs to a fraction of their size, "off" never does, "auto" does where the image
    tower is a transformer and the precision is not fp32.
    max_batch: most items in one forward pass.
    max_queue, max_queue_bytes: most items in flight, and most bytes that these may hold.
    text_cache_bytes: most bytes of text vectors to keep for when the same text comes again, 0 for none.
    decode_processes: how many processes decode images, 0 to decode in this one.
    self_check: refuse a model whose first vectors are of no use.
    image_reading: "natural" reads images as people see them (upright, transparency on white, in sRGB), "open_clip" bit
    by bit as open_clip does.
    image_formats: the formats of images that are read, such as "JPEG", "TIFF", "HEIC"; empty for all that are
    installed.
    """

    device: str = "auto"
    precision: str = "auto"
    threads: int = 0
    cache_dir: Path | None = None
    max_megapixels: float = 40
    jpeg_scaling: str = "auto"
    max_batch: int = 16
    max_queue: int = 4096
    max_queue_bytes: int = 512_000_000
    text_cache_bytes: int = 0
    decode_processes: int = 0
    self_check: bool = True
    image_reading: str = "natural"
    image_formats: tuple[str, ...] = ()
