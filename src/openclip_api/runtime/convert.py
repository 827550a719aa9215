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
from ..checkpoints.config import CONFIG_FILE
from ..checkpoints.damage import refusing
from ..checkpoints.hub import Report
from ..checkpoints.open_clip_folder import write_config, write_weights
from ..checkpoints.sources import Source
from ..checkpoints.tokenizer_files import TOKENIZER_FILES
from ..errors import CannotWrite, InvalidSetting, UnsupportedModel
from ..inputs.vocabularies import read_vocabulary
from ..models.build import build_towers


def convert(
    source: Source,
    directory: Path,
    *,
    cache_dir: Path | None = None,
    report: Report = lambda stage, done, total: None,
) -> Checkpoint:
    """Write open_clip_config.json, open_clip_model.safetensors and the tokenizer's files into a new or empty folder.

    Weights go from the mapped file straight into the new one. Returns what was converted.
    Raises InvalidSetting (the folder holds something), CannotWrite (no space, no permission), and what find raises.
    """
    _check_is_free(directory)
    with refusing(str(source)):
        checkpoint = find(source, cache_dir=cache_dir, report=report)
        if checkpoint.preprocess.resized_size:
            raise UnsupportedModel("its images are resized to more than the crop, which a preprocess_cfg cannot say")
        with suppress(UnsupportedModel):  # what has no graph here may be a model of open_clip's all the same
            build_towers(checkpoint.config, checkpoint.preprocess, checkpoint.read())
    with _replacing(directory) as folder:
        write_config(checkpoint, folder)
        _write_tokenizer(checkpoint, folder)
        write_weights(checkpoint, folder)
    return checkpoint


def _check_is_free(directory: Path) -> None:
    """Raises InvalidSetting, CannotWrite."""
    with _writing(directory):
        if directory.is_dir() and any(directory.iterdir()):
            raise InvalidSetting(f"{directory} is not empty: name a new folder")
        if os.path.lexists(directory) and not directory.is_dir():
            raise InvalidSetting(f"{directory} is not a folder: name a new one")


@contextmanager
def _writing(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"cannot write {directory} ({error.strerror or error}): nothing was left there") from error


@contextmanager
def _replacing(directory: Path) -> Iterator[Path]:
    """A folder whose files are in `directory` at the end of the block, all of them, or it is removed with all of them.

    An empty folder is filled and not replaced, as it may be where something is mounted. Raises CannotWrite.
    """
    folder = None
    try:
        with _writing(directory):
            above = next(path for path in (directory, *directory.absolute().parents) if path.is_dir())
            folder = Path(tempfile.mkdtemp(dir=above, prefix=".converting."))
            yield folder
            _finish(folder)
            if above == directory:
                for path in sorted(folder.iterdir(), key=lambda path: path.name == CONFIG_FILE):  # without it: no model
                    path.rename(directory / path.name)
            else:
                directory.parent.mkdir(parents=True, exist_ok=True)
                folder.rename(directory)
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _finish(folder: Path) -> None:
    """Files on the disk and readable by others: mkdtemp and the library let nobody else in."""
    readable = 0o777 & ~_umask()
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.chmod(readable & 0o666)
    folder.chmod(readable)


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
