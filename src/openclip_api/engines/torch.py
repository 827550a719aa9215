"""open_clip itself on torch: for GPUs, and for models that have no graph in models/.

Needs the extra: pip install 'openclip-api[torch]'.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.forms import is_open_clips_own
from ..checkpoints.open_clip_folder import WEIGHTS_FILE, write_config, write_weights
from ..errors import InvalidSetting, MissingExtra
from .base import Vectors

INSTALL = "pip install 'openclip-api[torch]'"


class TorchEngine:
    """device: "auto" (the best that torch sees), "cpu", "cuda", "mps".
    precision: "auto" (fp16 on a GPU, fp32 on the CPU), "fp32", "bf16".

    Raises MissingExtra, InvalidSetting.
    """

    name = "torch"

    def __init__(self, checkpoint: Checkpoint, device: str = "auto", precision: str = "auto") -> None:
        if not is_installed():
            raise MissingExtra(f"DEVICE={device} computes on torch, which is not installed: {INSTALL}")
        import open_clip
        import torch

        self._torch = torch
        self.device = _device(torch, device)
        self.precision = ("fp32" if self.device == "cpu" else "fp16") if precision == "auto" else precision
        if self.precision == "int8":
            raise InvalidSetting(
                "PRECISION=int8 is for OpenVINO's graphs, and this model runs on torch: auto, fp32, bf16"
            )
        self._dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.precision]
        with tempfile.TemporaryDirectory() as folder:
            self._model: Any = open_clip.create_model(
                f"local-dir:{_as_folder(checkpoint, Path(folder))}",
                device=self.device,
                precision=self.precision,
                pretrained_text=False,
            ).eval()
        # [3, 1, 1], on the device
        self._mean = torch.tensor(checkpoint.preprocess.mean, device=self.device).reshape(3, 1, 1)
        self._std = torch.tensor(checkpoint.preprocess.std, device=self.device).reshape(3, 1, 1)

    def encode_images(self, pixels: NDArray[np.uint8]) -> Vectors:
        with self._exactly():
            x = self._torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2)  # [B, 3, size, size]
            x = ((x.float() / 255 - self._mean) / self._std).to(self._dtype)
            return self._vectors(self._model.encode_image(x))

    def encode_texts(self, ids: NDArray[np.int32]) -> Vectors:
        with self._exactly():
            return self._vectors(self._model.encode_text(self._torch.from_numpy(ids).long().to(self.device)))

    def close(self) -> None:
        del self._model
        if self.device == "cuda":
            self._torch.cuda.empty_cache()

    @contextmanager
    def _exactly(self) -> Iterator[None]:
        """No gradients, and fp32 is fp32: torch lets cuDNN round the inputs of convolutions to the ten bits of TF32."""
        with self._torch.inference_mode(), self._torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield

    @staticmethod
    def _vectors(features: Any) -> Vectors:
        vectors: Vectors = features.float().cpu().numpy()
        return vectors


def is_installed() -> bool:
    return all(importlib.util.find_spec(name) is not None for name in ("torch", "open_clip"))


def _device(torch: Any, wanted: str) -> str:
    seen = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return next(device for device, is_there in seen.items() if is_there)
    if not seen[wanted]:
        allowed = ", ".join(["auto", *(device for device, is_there in seen.items() if is_there)])
        raise InvalidSetting(f"DEVICE={wanted}: torch sees no such device; allowed here: {allowed}")
    return wanted


def _as_folder(checkpoint: Checkpoint, folder: Path) -> Path:
    """The checkpoint as a folder that open_clip reads: its config as it was written, and its weights.

    open_clip's own safetensors file is linked. Of other forms one is written: torch would refuse some, and run the code
    of none. Raises UnsupportedModel for a model of transformers that open_clip has no tower for.
    """
    write_config(checkpoint, folder)
    if is_open_clips_own(checkpoint.weights):
        (folder / WEIGHTS_FILE).symlink_to(checkpoint.weights.resolve())
    else:
        write_weights(checkpoint, folder)
    return folder
