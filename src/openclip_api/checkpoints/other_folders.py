"""What a folder is that holds no model in a layout that is read, and what would work."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from ..errors import StartupError, UnknownModel, UnsupportedModel
from .other_models import MERGE

MOST_LISTED = 1000
STATE_DICT = "save the model's tensors with torch.save(model.state_dict(), path)"
DCP = "make one file of it with `python -m torch.distributed.checkpoint.format_utils dcp_to_torch`"
HUB = "use the same model as a safetensors file or a torch file"

# Files that tell, as patterns below the folder; all of a line must be there.
KINDS: list[tuple[tuple[str, ...], str]] = [
    (("model_index.json",), "is a diffusers pipeline, which makes images: it has no image tower"),
    (("adapter_config.json",), f"is a LoRA or similar adapter, {MERGE}"),
    ((".metadata", "*.distcp"), f"is a distributed checkpoint of torch: {DCP}"),
    (
        ("*/.metadata", "*/*.distcp"),
        f"holds a distributed checkpoint of torch (FSDP): name the folder in it, and {DCP}",
    ),
    (("zero_to_fp32.py",), "is a checkpoint of DeepSpeed: make one file of it with the zero_to_fp32.py in it"),
    (("*_optim_states.pt",), "is a part of a DeepSpeed checkpoint: make one file of it with zero_to_fp32.py above it"),
    (("_CHECKPOINT_METADATA",), f"is an Orbax checkpoint of JAX: {HUB}"),
    (("manifest.ocdbt",), f"is an Orbax checkpoint of JAX: {HUB}"),
    (("saved_model.pb",), f"is a SavedModel of TensorFlow: {HUB}"),
    (("*.index", "*.data-00000-of-*"), f"is a checkpoint of TensorFlow: {HUB}"),
    (("Manifest.json", "Data/com.apple.CoreML"), f"is a Core ML model: {HUB}"),
    (("coremldata.bin",), f"is a Core ML model: {HUB}"),
    (("*.xml", "*.bin"), f"is an OpenVINO model: {HUB}"),
    (("*.onnx",), f"is an ONNX model: {HUB}"),
    (("*.gguf",), f"is a GGUF model, which llama.cpp reads: {HUB}"),
    (("*.msgpack",), f"is a model of Flax: {HUB}"),
    (("*.h5",), f"is a model of Keras or TensorFlow: {HUB}"),
    (("refs", "snapshots"), "is the hub's cache of a repository: name the repository, or the folder in its snapshots/"),
]
# Where open_clip's training program and others leave what they wrote.
BELOW = ("checkpoints/*.pt", "*/open_clip_config.json", "*/config.json")
IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic"}
UNFINISHED = (".incomplete", ".part", ".partial", ".crdownload", ".download", ".aria2", ".tmp")


def folder_refusal(folder: Path) -> StartupError | None:
    """The error for a folder that is known to be something else; None where that cannot be told."""
    for patterns, what in KINDS:
        if all(next(folder.glob(pattern), None) for pattern in patterns):
            return UnsupportedModel(f"{folder} {what}")
    return None


def without_config(folder: Path, config: str) -> StartupError:
    """The error for a folder that has no config file: what it holds instead, as far as can be told."""
    if error := folder_refusal(folder) or unfinished(folder):
        return error
    files = list(islice(folder.iterdir(), MOST_LISTED))
    if not files:
        return UnknownModel(f"{folder} is empty: it needs {config}, the weights and the tokenizer")
    if sum(path.suffix.lower() in IMAGES for path in files) > len(files) / 2:
        return UnknownModel(f"{folder} holds images, but no model: it needs {config} and the weights")
    for pattern in BELOW:
        if found := next(folder.glob(pattern), None):
            return UnknownModel(
                f"{folder} has no {config}, but there is {found.relative_to(folder)}: {_instead(found)}"
            )
    if any(path.name.startswith(("tokenizer", "vocab")) for path in files):
        return UnknownModel(f"{folder} holds a tokenizer, but no {config} and weights: put them beside it")
    return UnknownModel(f"{folder / config}: no such file; an OpenCLIP folder has one beside its weights")


def _instead(found: Path) -> str:
    if found.suffix == ".pt":
        return f"set MODEL_NAME to its architecture, such as ViT-B-32, and MODEL_PRETRAINED to {found}"
    return f"name the folder {found.parent}"


def unfinished(folder: Path) -> StartupError | None:
    """The error for a folder of which not all is there: a download was cut, or the hub's links were copied alone."""
    for path in islice(folder.iterdir(), MOST_LISTED):
        if path.suffix in UNFINISHED:
            return UnknownModel(f"{path} is an unfinished download: finish it, or download the file again")
        if path.is_symlink() and not path.exists():
            return UnknownModel(f"{path} is a link to a file that is not there: copy the folder again with `cp -rL`")
    return None
