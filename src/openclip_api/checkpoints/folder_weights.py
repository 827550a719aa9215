"""Which file of a folder has the weights."""

from __future__ import annotations

from pathlib import Path

from ..errors import UnknownModel
from .forms import form_of_file
from .other_files import folder_refusal

# open_clip/factory.py, _find_checkpoint_in_dir (3.3.0): these first, else the first .safetensors, .bin or .pth by name
IN_ORDER = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin",
            "open_clip_pytorch_model.pth", "model.safetensors", "pytorch_model.bin", "pytorch_model.pth",
            "model.pth")  # fmt: skip
SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".ckpt")
OTHERS = (".npz", ".onnx", ".gguf", ".msgpack", ".h5", ".pt2", ".pb", ".tflite")
NOT_OPEN_CLIPS = (".pt", ".ckpt")  # open_clip looks for none of these: a run of training leaves one for each epoch
ALONE = ("optimizer", "scheduler", "training_args", "rng_state")  # what trainers write beside the weights


def weights_in(folder: Path) -> Path:
    """open_clip's order, but a file in its form comes before any that is not, whatever the names.

    Raises UnknownModel for a folder without weights, UnsupportedModel for one of another kind.
    """
    found = candidates(folder)
    if not found:
        return _of_another_kind(folder)
    if found[0].suffix in NOT_OPEN_CLIPS and len(found) > 1:
        raise UnknownModel(f"{folder} has several: {', '.join(path.name for path in found[:5])}; keep one there")
    # Most folders have one file. Where the name says what is in it, nothing needs to be opened.
    if len(found) == 1 or found[0].name.startswith("open_clip_"):
        return found[0]
    forms = [form_of_file(path) for path in found]
    return next((found[forms.index(form)] for form in ("open_clip", "transformers") if form in forms), found[0])


def _of_another_kind(folder: Path) -> Path:
    """Files that nobody reads here: whoever tries says what they are, which is more than that there is nothing."""
    others = sorted(path for path in folder.iterdir() if path.suffix in OTHERS)
    if others:
        return others[0]
    kinds = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
    raise folder_refusal(folder) or UnknownModel(f"{folder} has no weights: a {kinds} file")


def candidates(folder: Path) -> list[Path]:
    """The files that may be weights, the likely ones first. Shards that belong to an index count as one."""
    files = [path for path in folder.iterdir() if path.is_file()]
    indexes = sorted(path for path in files if path.name.endswith((".safetensors.index.json", ".bin.index.json")))
    if indexes:
        stems = tuple(index.name.partition(".")[0] + "-" for index in indexes)
        files = [path for path in files if not path.name.startswith(stems)]
    weights = [path for path in files if path.suffix in SUFFIXES and not path.name.startswith(ALONE)]
    return sorted([*weights, *indexes], key=_order)


def _order(path: Path) -> tuple[int, int, str]:
    known = IN_ORDER.index(path.name) if path.name in IN_ORDER else len(IN_ORDER)
    return known, SUFFIXES.index(path.suffix) if path.suffix in SUFFIXES else 0, path.name
