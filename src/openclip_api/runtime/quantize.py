"""Calibrate a model's int8 graphs on the user's own images and texts, and refuse those that lose too much.

Needs the extra: pip install 'openclip-api[quantize]'.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checkpoints.calibrated import calibrated_folder, calibrated_graphs
from ..checkpoints.checkpoint import find
from ..checkpoints.damage import refusing
from ..checkpoints.sources import Source
from ..checkpoints.weight_files import weights_sha256
from ..engines.openvino import OpenVinoEngine
from ..errors import FailedCalibration, InvalidSetting, MissingExtra, RequestError
from ..inputs.formats import installed_formats
from ..inputs.images import ReadImage, image_reader
from ..inputs.tokenizer import Tokenizer, build_tokenizer
from ..models.architecture import vocab_size
from ..models.build import Towers, build_towers
from .embedding import unit_length

CALIBRATING = 300  # NNCF's default: more items change little
MOST_HELD_BACK = 1000
FEWEST = 64
LEAST_COSINE = 0.99  # the mean over the items held back
LEAST_RECALL = 0.9
NEIGHBOURS = 10

Batch = NDArray[Any]
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Fidelity:
    """int8 against fp32 on the items held back: cosines of their vectors, and how many of the ten nearest agree."""

    items: int
    mean_cosine: float
    least_cosine: float
    recall_at_10: float

    @property
    def suffices(self) -> bool:
        return self.mean_cosine >= LEAST_COSINE and self.recall_at_10 >= LEAST_RECALL

    def __str__(self) -> str:
        return (
            f"{self.items} held out: mean cosine to fp32 {self.mean_cosine:.4f}, lowest {self.least_cosine:.4f}, "
            f"recall@10 {self.recall_at_10:.3f}"
        )


def quantize(
    source: Source,
    images: Path,
    texts: Path | None,
    *,
    cache_dir: Path | None = None,
    max_megapixels: float = 40,
    image_reading: str = "natural",
    say: Callable[[str], None] = print,
) -> Path:
    """Calibrate the image tower on the files below `images`, and the text tower on the lines of `texts` if given.

    A third of the items is held back, to measure what is lost. Returns the folder with the graphs, which PRECISION=int8
    finds by itself.

    Raises StartupError: FailedCalibration (too much was lost; nothing is saved), MissingExtra, InvalidSetting
    (fewer than 64 items), and what loading raises.
    """
    if importlib.util.find_spec("nncf") is None:
        raise MissingExtra("quantize needs NNCF: pip install 'openclip-api[quantize]'")
    with refusing(str(source)):
        checkpoint = find(source, cache_dir=cache_dir)
        digest = weights_sha256(checkpoint.weights)
        checkpoint.verify(digest)
        towers = build_towers(checkpoint.config, checkpoint.preprocess, checkpoint.read())
    read_image = image_reader(checkpoint.preprocess, max_megapixels, reading=image_reading, formats=installed_formats())
    inputs: dict[str, Batch] = {"image": _read_images(images, read_image, say)}
    if texts is not None:
        tokenizer = build_tokenizer(checkpoint.config.tokenizer, checkpoint.tokenizer, vocab_size(checkpoint.config))
        inputs["text"] = _read_texts(texts, tokenizer)
    for tower, batch in inputs.items():
        if len(batch) < FEWEST:
            raise InvalidSetting(f"only {len(batch)} {tower}s can be used: at least {FEWEST} are needed")
    folder = calibrated_folder(checkpoint, digest, cache_dir)
    return _calibrated(towers, inputs, folder, say)


def _calibrated(towers: Towers, inputs: dict[str, Batch], folder: Path, say: Callable[[str], None]) -> Path:
    """Work in a folder beside the final one, so that a server that starts meanwhile finds all graphs or none."""
    from ..engines.calibration import calibrate  # before there is a folder: Ctrl-C during an import cleans up nothing

    with tempfile.TemporaryDirectory(dir=_made(folder.parent)) as working:
        held_back, found = {}, {}
        for tower, batch in inputs.items():
            order = np.random.default_rng(0).permutation(len(batch))
            used, held_back[tower] = np.split(batch[order], [min(CALIBRATING, len(batch) * 2 // 3)])
            say(f"calibrating the {tower} tower on {len(used)} {tower}s; this takes one or two minutes")
            calibrate(towers, tower, used, Path(working) / f"{tower}.xml")
        graphs = calibrated_graphs(Path(working))
        exact, rounded = OpenVinoEngine(towers, "fp32"), OpenVinoEngine(towers, "int8", calibrated=graphs)
        for tower, batch in held_back.items():
            found[tower] = fidelity(_encode(exact, tower, batch), _encode(rounded, tower, batch))
            say(f"{tower}: {found[tower]}")
            if not found[tower].suffices:
                raise FailedCalibration(
                    f"the {tower} tower lost too much in int8 (it needs a mean cosine of {LEAST_COSINE} and a "
                    f"recall@10 of {LEAST_RECALL}): nothing is saved; more {tower}s like those you search may help"
                )
        facts = {tower: asdict(of_tower) for tower, of_tower in found.items()}
        (Path(working) / "fidelity.json").write_text(json.dumps(facts, indent=1))
        if folder.exists():
            shutil.rmtree(folder)
        shutil.copytree(working, folder)
        folder.chmod(0o755)  # a server under another user may read it
    return folder


def fidelity(exact: Vectors, rounded: Vectors) -> Fidelity:
    """Both [N, E].

    Recall@10: the part of the ten nearest others by the exact vectors that the rounded ones name too, in the mean.
    """
    exact, rounded = unit_length(exact), unit_length(rounded)
    cosines = (exact * rounded).sum(axis=1)
    nearest = [_nearest(vectors) for vectors in (exact, rounded)]
    common = [len(set(a) & set(b)) for a, b in zip(*nearest, strict=True)]
    return Fidelity(len(exact), float(cosines.mean()), float(cosines.min()), float(np.mean(common)) / NEIGHBOURS)


def _nearest(vectors: Vectors) -> NDArray[np.intp]:
    """[N, E] → [N, 10]."""
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    return np.argpartition(-cosines, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]


def _encode(engine: OpenVinoEngine, tower: str, batch: Batch) -> Vectors:
    encode: Callable[[Batch], Vectors] = engine.encode_images if tower == "image" else engine.encode_texts
    return np.concatenate([encode(batch[start : start + 8]) for start in range(0, len(batch), 8)])


def _read_images(folder: Path, read_image: ReadImage, say: Callable[[str], None]) -> Batch:
    """[N, size, size, 3]: the folder's images. Other files are passed over."""
    if not folder.is_dir():
        raise InvalidSetting(f"--images {folder}: no such folder")
    pixels: list[Batch] = []
    passed_over = 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if len(pixels) == CALIBRATING + MOST_HELD_BACK:
            break
        try:
            pixels.append(read_image(path.read_bytes()).pixels)
        except RequestError:
            passed_over += 1
    if passed_over:
        say(f"{passed_over} files are not images and were skipped")
    return np.array(pixels)


def _read_texts(path: Path, tokenizer: Tokenizer) -> Batch:
    """[N, context_length]: the file's lines, each once."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"--texts {path} cannot be read ({error})") from error
    texts = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    return np.array([tokenizer(text).ids for text in texts[: CALIBRATING + MOST_HELD_BACK]])


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
