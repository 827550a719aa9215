"""What a file is that holds no model's weights, or those of another kind of model, and what would work."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from ..errors import CorruptCheckpoint, StartupError, UnsupportedModel

READ = "a safetensors file, a .pt or .bin file of torch, or a *.index.json of several"
FETCH = "delete it and fetch it anew"
HEAD = 512  # bytes that tell

# A file's first bytes → what it is.
DAMAGED = [
    (rb"version https://git-lfs", "is a Git LFS pointer and not the file itself: run `git lfs pull`"),
    (rb"(\xef\xbb\xbf)?\s*(<!doctype html|<html|<head)", f"is a web page, perhaps a login or an error: {FETCH}"),
]
OTHERS = [
    (rb"GGUF", "is a GGUF file, which llama.cpp reads"),
    (rb"\x89HDF", "is an HDF5 file of Keras or TensorFlow"),
    (rb"\x93NUMPY", "is a NumPy array"),
    (rb"([\x81-\x8f]|\xde..)[\xa1-\xbf\xd9]", "is a msgpack file of Flax"),
    (rb"\x08[\x01-\x1f][\x12\x1a\x22\x28\x32\x3a\x42]", "is an ONNX model or a TensorFlow graph"),
    (rb"\x1f\x8b|7z\xbc\xaf|\xfd7zXZ|BZh|\x28\xb5\x2f\xfd|Rar!|.{257}ustar", "is packed and has to be unpacked first"),
    (rb"\s*<", "is XML, such as an OpenVINO model's or a server's error"),
    (rb".{4}TFL3", "is a TensorFlow Lite model"),
    (rb"\x80[\x02-\x05]", "is a pickle and not one that torch.save writes"),
    (rb"\s*[{\[]", "is a JSON text and no index of shards"),
]


def refusal(path: Path) -> StartupError | None:
    """The error for a file of another form, as its first bytes tell it; None where they do not."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        return CorruptCheckpoint(f"{path.resolve()} is empty: {FETCH}")
    for start, what in DAMAGED:
        if re.match(start, head, re.IGNORECASE):
            return CorruptCheckpoint(f"{path.resolve()} {what}")
    for start, what in OTHERS:
        if re.match(start, head, re.DOTALL):
            return UnsupportedModel(f"{path} {what}: give {READ}")
    if head.isascii() and b"\0" not in head:
        return UnsupportedModel(f"{path} is a text: give {READ}")
    return None


def archive_refusal(path: Path, names: Collection[str]) -> StartupError:
    """The same for a zip archive with these members."""
    if names and all(name.endswith(".npy") for name in names):
        return UnsupportedModel(
            f"{path} is a NumPy archive (.npz), as big_vision writes its SigLIP models: take the same model from the "
            "hub, such as MODEL_NAME=ViT-B-16-SigLIP MODEL_PRETRAINED=webli"
        )
    if any(name.endswith(("/archive_format", "/models/model.json")) for name in names):
        return UnsupportedModel(
            f"{path} is a program of torch.export (.pt2): save the model's tensors with "
            "torch.save(model.state_dict(), path)"
        )
    return UnsupportedModel(f"{path} is a zip archive and not of torch: unpack it, and give {READ}")


def folder_refusal(folder: Path) -> StartupError | None:
    """The error for a folder that is known to be something else; None where that cannot be told."""
    if (folder / "model_index.json").is_file():
        return UnsupportedModel(f"{folder} is a diffusers pipeline, which makes images: it has no image tower")
    if (folder / "adapter_config.json").is_file():
        return UnsupportedModel(
            f"{folder} is a LoRA adapter, a change to another model: merge it into that model first "
            "(peft: merge_and_unload) and save the result"
        )
    if (folder / ".metadata").is_file() and any(folder.glob("*.distcp")):
        return UnsupportedModel(
            f"{folder} is a distributed checkpoint of torch: make one file of it with "
            "`python -m torch.distributed.checkpoint.format_utils dcp_to_torch`"
        )
    return None
