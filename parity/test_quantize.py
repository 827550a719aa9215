"""`openclip-api quantize`, which needs NNCF, on the built-in model: its own pictures are not photographs, so here it
learns from drawn ones."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from PIL import Image

from openclip_api import load
from openclip_api.cli import main

from .samples import BATCH_OF_TEXTS, photographs


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ninety different crops of the photographs, and a file that is no image."""
    folder = tmp_path_factory.mktemp("images")
    files = photographs()
    for number in range(90):
        source = folder / "source"
        source.write_bytes(files[number % len(files)])
        with Image.open(source) as image:
            side = min(image.size) * 2 // 3
            left, top = number * 7 % (image.width - side), number * 11 % (image.height - side)
            image.convert("RGB").crop((left, top, left + side, top + side)).save(folder / f"{number}.png")
    source.write_text("no image")
    return folder


def largest_weight(path: Path) -> int:
    """Of what is multiplied in int8. Without VNNI a CPU adds two products, of a byte and a weight each, in 16 bits."""
    largest = 0
    for node in ov.Core().read_model(path).get_ops():
        if node.get_type_name() in ("MatMul", "Convolution"):
            weights = node.input_value(1).get_node()
            while weights.get_type_name() in ("Convert", "Multiply", "Reshape", "Transpose"):
                weights = weights.input_value(0).get_node()
            if weights.get_element_type() == ov.Type.i8:
                largest = max(largest, int(np.abs(weights.data).max()))
    return largest


def test_a_calibrated_model_is_found_and_keeps_close_to_fp32(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(f"{text} {n}".replace("\n", " ") for n in range(3) for text in BATCH_OF_TEXTS))
    options = {"cache_dir": tmp_path, "device": "cpu"}
    pictures = [path.read_bytes() for path in sorted(images.glob("*.png"))[:20]]
    with closing(load("emoji", precision="int8", **options)) as rounded:
        plain = rounded.info
    arguments = ["--model-name", "emoji", "--cache-dir", str(tmp_path), "--images", str(images), "--texts", str(texts)]
    assert main(["quantize", *arguments]) == 0
    output = capsys.readouterr().out
    assert "image: 30 held out: mean cosine to fp32 0.9" in output
    folder = next((tmp_path / "openclip-api-int8").iterdir())
    assert {path.name for path in folder.iterdir()} == {
        "image.xml", "image.bin", "text.xml", "text.bin", "fidelity.json"
    }  # fmt: skip
    assert all(0 < largest_weight(folder / f"{tower}.xml") <= 64 for tower in ("image", "text"))
    assert json.loads((folder / "fidelity.json").read_text())["image"]["recall_at_10"] >= 0.9
    with (
        closing(load("emoji", precision="int8", **options)) as calibrated,
        closing(load("emoji", precision="fp32")) as exact,
    ):
        assert calibrated.info.precision == "int8"
        fingerprints = {plain.fingerprint, calibrated.info.fingerprint, exact.info.fingerprint}
        assert len(fingerprints) == 3
        for kind, items in (("embed_images", pictures), ("embed_texts", BATCH_OF_TEXTS)):
            a, b = (getattr(embedder, kind)(items, normalize=True) for embedder in (calibrated, exact))
            assert (a * b).sum(axis=1).mean() > 0.99
            assert not np.array_equal(a, b)


def test_what_loses_too_much_is_not_saved(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr("openclip_api.runtime.quantize.LEAST_COSINE", 1.1)
    arguments = ["--model-name", "emoji", "--cache-dir", str(tmp_path), "--images", str(images)]
    assert main(["quantize", *arguments]) == 1
    assert "lost too much in int8" in capsys.readouterr().err
    assert not list((tmp_path / "openclip-api-int8").iterdir())
