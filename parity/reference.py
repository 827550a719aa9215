"""The reference: open_clip itself, from the same folder, file bytes and strings."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import open_clip
import torch
from open_clip.transform import MaybeToTensor, PreprocessCfg, image_transform_v2
from PIL import Image


class Reference:
    def __init__(self, folder: Path) -> None:
        name = f"local-dir:{folder}"
        self.model, self.preprocess = open_clip.create_model_from_pretrained(name)
        self.model.eval()
        self.tokenizer = open_clip.get_tokenizer(name)

    @torch.no_grad()
    def embed_images(self, images: Sequence[bytes]) -> np.ndarray:
        batch = torch.stack([self.preprocess(Image.open(io.BytesIO(data))) for data in images])
        return self.model.encode_image(batch).numpy()

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        return self.model.encode_text(self.tokenizer(list(texts))).numpy()


def reference_pixels(data: bytes, size: int, resize_mode: str, interpolation: str, fill_color: int) -> np.ndarray:
    """open_clip's transforms up to the one that leaves PIL: uint8 [size, size, 3]."""
    config = PreprocessCfg(
        size=(size, size),  # a pair, as a loaded model gives it
        resize_mode=resize_mode,
        interpolation=interpolation,
        fill_color=fill_color,
    )
    image = Image.open(io.BytesIO(data))
    for transform in image_transform_v2(config, is_train=False).transforms:
        if isinstance(transform, MaybeToTensor):
            return np.asarray(image)
        image = transform(image)
    raise AssertionError("no transform makes a tensor")
