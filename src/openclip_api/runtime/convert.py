"""`openclip-api convert`: any checkpoint → a new folder of open_clip's layout, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..checkpoints.checkpoint import Checkpoint, find
from ..checkpoints.damage import refusing
from ..checkpoints.hub import Report
from ..checkpoints.open_clip_folder import write_config, write_weights
from ..checkpoints.tokenizer_files import TOKENIZER_FILES
from ..errors import CannotWrite, InvalidSetting, UnsupportedModel
from ..inputs.vocabularies import read_vocabulary
from ..models.build import build_towers


def convert(
    name: str,
    tag: str | None,
    directory: Path,
    *,
    cache_dir: Path | None = None,
    report: Report = lambda stage, done, total: None,
) -> Checkpoint:
    """Write open_clip_config.json, open_clip_model.safetensors and the tokenizer's files into a new or empty folder.

    Weights go from the mapped file straight into the new one. Returns what was converted.
    Raises InvalidSetting (the folder holds something), CannotWrite (no space, no permission), and what find raises.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InvalidSetting(f"{directory} is not empty: name a folder that is not there yet")
    with refusing(name):
        checkpoint = find(name, tag, cache_dir=cache_dir, report=report)
        if checkpoint.preprocess.resized_size:
            raise UnsupportedModel("its images are resized to more than is cropped, which no preprocess_cfg can say")
        with suppress(UnsupportedModel):  # what has no graph here may be a model of open_clip's all the same
            build_towers(checkpoint.config, checkpoint.preprocess, checkpoint.read())
    with _replacing(directory) as folder:
        write_config(checkpoint, folder)
        _write_tokenizer(checkpoint, folder)
        write_weights(checkpoint, folder)
    return checkpoint


@contextmanager
def _replacing(directory: Path) -> Iterator[Path]:
    """A folder beside `directory` that takes its place at the end of the block, or is removed. Raises CannotWrite."""
    folder = None
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}."))
        yield folder
        readable = 0o777 & ~_umask()
        for path in folder.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
            path.chmod(readable & 0o666)
        folder.chmod(readable)  # mkdtemp and the library let nobody else in
        if directory.exists():
            directory.rmdir()
        folder.rename(directory)
        folder = None
    except OSError as error:
        raise CannotWrite(f"cannot write {directory} ({error.strerror or error}): nothing was left there") from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _write_tokenizer(checkpoint: Checkpoint, folder: Path) -> None:
    """CLIP's own vocabulary needs no file. What is in older files is written as tokenizer.json."""
    if checkpoint.tokenizer is None:
        return
    vocabulary, settings = (checkpoint.tokenizer / name for name in TOKENIZER_FILES)
    if vocabulary.is_file():
        shutil.copyfile(vocabulary, folder / vocabulary.name)
    else:
        read_vocabulary(checkpoint.tokenizer).save(str(folder / vocabulary.name))
    if settings.is_file():
        shutil.copyfile(settings, folder / settings.name)
    else:
        (folder / settings.name).write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
