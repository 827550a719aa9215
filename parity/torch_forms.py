"""A model's weights in the forms that torch and the programs around it write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch


def save_training_checkpoint(model: torch.nn.Module, folder: Path) -> Path:
    """As open_clip_train/main.py writes it (3.3.0) on several GPUs."""
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.param_groups[0]["lr"] = 0.0  # so that the step changes no weight, and fills the optimizer's state
    optimizer.param_groups[0]["weight_decay"] = 0.0
    optimizer.step()
    content = {
        "epoch": 3,
        "name": "2026_01_01-model_ViT-lr_0.001",
        "state_dict": {f"module.{key}": value for key, value in model.state_dict().items()},
        "optimizer": optimizer.state_dict(),
        "scaler": torch.amp.GradScaler("cpu").state_dict(),
    }
    torch.save(content, folder / "epoch_3.pt")
    return folder / "epoch_3.pt"


def save_torchscript(model: torch.nn.Module, folder: Path) -> Path:
    """As OpenAI published CLIP: the traced model with its weights in half precision."""
    model = model.float().eval()
    pixels = torch.ones((2, 3, *model.visual.image_size))
    ids = torch.zeros((2, model.context_length), dtype=torch.int)
    inputs = {"forward": (pixels, ids), "encode_text": (ids,), "encode_image": (pixels,)}
    # As open_clip/model.py, trace_model, whose check compares names that differ each time.
    traced = torch.jit.trace_module(model, inputs, check_trace=False)
    torch.jit.save(traced.half(), folder / "ViT-B-32.pt")
    return folder / "ViT-B-32.pt"


def save_torchscript_without_places(model: torch.nn.Module, folder: Path) -> Path:
    """The same, without what tells debuggers where on this machine each line of code was: the file is committed."""
    path = save_torchscript(model, folder)
    reader = torch._C.PyTorchFileReader(str(path))
    names = [name for name in reader.get_all_records() if not name.endswith(".debug_pkl")]
    records = {name: reader.get_record(name) for name in names if name not in ("version", "byteorder")}
    writer = torch._C.PyTorchFileWriter(str(path))  # writes the two by itself
    for name, record in records.items():
        writer.write_record(name, record, len(record))
    writer.write_end_of_file()
    return path


def save_legacy(model: torch.nn.Module, folder: Path) -> Path:
    path = folder / "open_clip_pytorch_model.bin"
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=False)
    return path


def save_shards(model: torch.nn.Module, folder: Path, count: int = 3) -> Path:
    """As transformers 4 wrote them, pytorch_model-00001-of-00003.bin and an index (modeling_utils.py, 4.57).

    transformers 5 writes safetensors only.
    """
    tensors = model.state_dict()
    weight_map: dict[str, str] = {}
    keys = list(tensors)
    for number in range(count):
        name = f"pytorch_model-{number + 1:05}-of-{count:05}.bin"
        shard: dict[str, Any] = {key: tensors[key] for key in keys[number::count]}
        torch.save(shard, folder / name)
        weight_map.update(dict.fromkeys(shard, name))
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    index = folder / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": size}, "weight_map": weight_map}, indent=2) + "\n")
    return index
