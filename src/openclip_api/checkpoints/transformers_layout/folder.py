"""A folder as transformers saves it → the types that open_clip's layout is read into.

config.json becomes open_clip's model_cfg (config.py), preprocessor_config.json its preprocess_cfg
(images.py), the tensors get its names (keys.py). Images and texts are prepared as
transformers does it: whoever has such a model compares with transformers.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ...errors import CorruptCheckpoint, UnknownModel, UnsupportedModel, shown
from ..config import CONFIG_FILE, ModelConfig, PreprocessConfig, Section, model_config, read_json
from .config import model_cfg, model_type
from .images import IMAGE_FILES, read_image_processor
from .texts import TOKENIZER_FILES, read_tokenizer

CONFIG = "config.json"
MODULES = "modules.json"  # sentence-transformers'

# The files of a repository that are read besides the weights. All but the first may be missing, though not all at once.
FILES = (CONFIG, *IMAGE_FILES, *TOKENIZER_FILES)


def is_transformers_folder(folder: Path) -> bool:
    """Whether a folder is in transformers' layout, or in that of sentence-transformers around it."""
    return not (folder / CONFIG_FILE).is_file() and ((folder / MODULES).is_file() or (folder / CONFIG).is_file())


def model_folder(folder: Path) -> Path:
    """The folder with config.json. sentence-transformers keep it below, as "0_CLIPModel": modules.json says where.

    Raises UnknownModel, CorruptCheckpoint.
    """
    if not (folder / MODULES).is_file():
        return folder
    inner = folder / module_path(folder / MODULES)
    if not inner.is_dir():
        raise UnknownModel(f"{inner}: no such folder, though {MODULES} beside it names it")
    return inner


def module_path(modules: Path) -> str:
    """Of a modules.json: the path of its CLIP model, relative to its own folder; "" for that folder itself.

    Raises UnsupportedModel, CorruptCheckpoint.
    """
    found = read_json(modules)
    if not isinstance(found, list) or not all(isinstance(module, dict) for module in found):
        raise CorruptCheckpoint(f"{modules} is not a list of modules")
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in found]
    if kinds not in (["CLIPModel"], ["CLIPModel", "Normalize"]):  # normalising changes no direction
        raise UnsupportedModel(f"{modules}: modules {shown(kinds)}: of sentence-transformers only CLIPModel is read")
    path = found[0].get("path", "")
    if not isinstance(path, str) or path.startswith("/") or ".." in path.split("/"):
        raise CorruptCheckpoint(f"{modules}: path {shown(path)}: expected a folder beside it")
    return path


def read_transformers_folder(folder: Path) -> tuple[ModelConfig, PreprocessConfig]:
    """config.json, preprocessor_config.json and the tokenizer's files → open_clip's terms.

    `as_written` of the result is a model_cfg. open_clip itself reads it where `open_clip_config` does not refuse.
    Raises UnknownModel, UnsupportedModel, CorruptCheckpoint.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise UnknownModel(f"{path}: no such file")
    written = read_json(path)
    if not isinstance(written, dict):
        raise CorruptCheckpoint(f"{path} is not a JSON object")
    try:
        return _read(folder, written)
    except (UnsupportedModel, CorruptCheckpoint) as error:
        raise error if str(folder) in str(error) else type(error)(f"{path}: {error}") from error


def _read(folder: Path, written: Section) -> tuple[ModelConfig, PreprocessConfig]:
    kind = model_type(written)
    clean, longest = read_tokenizer(folder, kind)
    config = replace(model_config(model_cfg(written, clean, longest)), source=str(folder / CONFIG))
    return config, read_image_processor(folder, kind, config.image_size)
