"""What a file is that holds no model's weights, or those of another kind of model, and what would work."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from ..errors import CorruptCheckpoint, StartupError, UnsupportedModel

READ = "a safetensors file, a .pt or .bin file of torch, or a *.index.json of several"
FETCH = "delete it and download it again"
HEAD = 512  # bytes that tell

# A file's first bytes → what it is.
DAMAGED = [
    (rb"version https://git-lfs", "is a Git LFS pointer and not the file itself: run `git lfs pull`"),
    (rb"(\xef\xbb\xbf)?\s*(<!doctype html|<html|<head|<!--)", f"is a web page, perhaps a login or an error: {FETCH}"),
    (rb"# xet version", "is a pointer of the hub's Xet storage and not the file itself: fetch it with `hf download`"),
    (rb"\0{512}", f"begins with zeros only, as after an unfinished download or on a damaged disk: {FETCH}"),
]
OTHERS = [
    (rb"GGUF", "is a GGUF file, which llama.cpp reads"),
    (rb"\x89HDF", "is an HDF5 file of Keras or TensorFlow"),
    (rb"[fp]trt", "is an engine of TensorRT"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF.{4}WEBP|BM.{4}\0{4}|II\*\0|MM\0\*|.{4}ftyp", "is an image or a film"),
    (rb"%PDF|SQLite format 3|PAR1|\x7fELF|MZ|ARROW1", "is a document, a table or a program"),
    (rb"\x93NUMPY", "is a NumPy array"),
    (rb"([\x81-\x8f]|\xde..)[\xa1-\xbf\xd9]", "is a msgpack file of Flax"),
    (rb"\x08[\x01-\x1f][\x12\x1a\x22\x28\x32\x3a\x42]", "is an ONNX model, a TensorFlow graph or a Core ML model"),
    (rb"\x1f\x8b|7z\xbc\xaf|\xfd7zXZ|BZh|\x28\xb5\x2f\xfd|Rar!|.{257}ustar", "is packed, and must be unpacked first"),
    (rb"\s*<", "is XML, such as an OpenVINO model's or a server's error"),
    (rb".{4}TFL3", "is a TensorFlow Lite model"),
    (rb"\x80[\x02-\x05]", "is a pickle, but not from torch.save"),
    (rb"\s*[{\[]", "is JSON, but not an index of shards"),
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
    if path.suffix == ".bin" and path.with_suffix(".xml").is_file():
        return UnsupportedModel(f"{path} has the weights of the OpenVINO model beside it, without names: give {READ}")
    if _is_text(head):
        return UnsupportedModel(f"{path} is a text file: give {READ}")
    return None


def _is_text(head: bytes) -> bool:
    """The last character may be cut."""
    return b"\0" not in head and len(head.decode("utf-8", "ignore").encode()) > len(head) - 4


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
    return UnsupportedModel(f"{path} is a zip archive, but not from torch: unpack it, and give {READ}")
