"""Which file of a folder has the weights."""

from __future__ import annotations

from pathlib import Path

from ..errors import UnknownModel
from .forms import Form, form_of_file
from .other_folders import folder_refusal, unfinished
from .shards import whole_of

# open_clip/factory.py, _find_checkpoint_in_dir (3.3.0): these first, else the first .safetensors, .bin or .pth by name
IN_ORDER = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin",
            "open_clip_pytorch_model.pth", "model.safetensors", "pytorch_model.bin", "pytorch_model.pth",
            "model.pth")  # fmt: skip
SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".ckpt")
OTHERS = (".npz", ".onnx", ".gguf", ".msgpack", ".h5", ".pt2", ".pb", ".tflite", ".mlmodel", ".engine", ".plan", ".zip",
          ".tar", ".gz", ".7z", ".xz", ".zst")  # fmt: skip
NOT_OPEN_CLIPS = (".pt", ".ckpt")  # open_clip looks for none of these: a run of training leaves one for each epoch
ALONE = ("optimizer", "scheduler", "training_args", "rng_state")  # what trainers write beside the weights


def weights_in(folder: Path, forms: tuple[Form, Form] = ("open_clip", "transformers")) -> Path:
    """The file whose tensors have a model's names, open_clip's order among several. forms: which comes first.

    Raises UnknownModel for a folder without weights, or with several that have no order, UnsupportedModel for one with
    another kind of weights.
    """
    found = candidates(folder)
    if not found:
        return _of_another_kind(folder)
    # Most folders have one file. Where the name says what is in it, nothing needs to be opened.
    if len(found) == 1 or found[0].name.startswith("open_clip_"):
        return found[0]
    by_form: dict[Form, list[Path]] = {}
    for path in found:
        by_form.setdefault(form_of_file(path), []).append(path)
    best = next((by_form[form] for form in forms if form in by_form), found)
    if best[0].suffix in NOT_OPEN_CLIPS and len(best) > 1:
        raise UnknownModel(f"{folder} has several: {', '.join(path.name for path in best[:5])}; keep one there")
    return best[0]


def _of_another_kind(folder: Path) -> Path:
    """Files that nobody reads here: whoever tries says what they are, which is more than that there is nothing."""
    others = sorted(path for path in folder.iterdir() if path.suffix in OTHERS)
    if others:
        return others[0]
    kinds = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
    raise folder_refusal(folder) or unfinished(folder) or UnknownModel(f"{folder} has no weights: a {kinds} file")


def candidates(folder: Path) -> list[Path]:
    """The files that may be weights, the likely ones first. Several files of one model count as one."""
    files = [path for path in folder.iterdir() if path.is_file()]
    weights = [path for path in files if path.suffix in SUFFIXES and not path.name.startswith(ALONE)]
    indexes = [path for path in files if path.name.endswith((".safetensors.index.json", ".bin.index.json"))]
    return sorted({*map(whole_of, weights), *indexes}, key=_order)


def _order(path: Path) -> tuple[int, int, str]:
    known = IN_ORDER.index(path.name) if path.name in IN_ORDER else len(IN_ORDER)
    return known, SUFFIXES.index(path.suffix) if path.suffix in SUFFIXES else 0, path.name
