"""int8 without calibration, and what a user without NNCF is told; calibration itself: parity/test_quantize.py."""

from __future__ import annotations

import importlib.util
from contextlib import closing
from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset13 as op
import pytest

from openclip_api import load
from openclip_api.checkpoints.calibrated import calibrated_folder
from openclip_api.checkpoints.checkpoint import find
from openclip_api.checkpoints.weight_files import read_weights, weights_sha256
from openclip_api.cli import main
from openclip_api.errors import CorruptCheckpoint
from openclip_api.models.build import build_towers
from openclip_api.models.int8 import round_weights
from openclip_api.runtime.quantize import fidelity

from ..conftest import Encode
from ..golden import MODELS, TEXTS, arrays


@pytest.mark.slow
def test_rounded_weights_stay_close_to_fp32(photo: Encode):
    images = [photo(name) for name in ("astronaut", "coffee", "rocket", "chelsea")]
    texts = ["a red car", "two dogs", "cloud", "a happy face with sunglasses"]
    with closing(load("emoji", precision="int8")) as rounded, closing(load("emoji", precision="fp32")) as exact:
        assert rounded.info.precision == "int8"
        assert rounded.info.fingerprint != exact.info.fingerprint
        for items, kind in ((images, "embed_images"), (texts, "embed_texts")):
            a, b = (getattr(embedder, kind)(items, normalize=True) for embedder in (rounded, exact))
            assert (a * b).sum(axis=1).min() > 0.995
            assert not np.array_equal(a, b)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_architecture_has_a_rounded_form(name: str):
    checkpoint = find(f"local-dir:{MODELS[name]}")
    towers = build_towers(checkpoint.config, checkpoint.preprocess, read_weights(checkpoint.weights))
    graph = towers.text.graph
    round_weights(graph)
    kinds = [str(node.get_output_element_type(0)) for node in graph.get_ops() if node.get_type_name() == "Constant"]
    assert any("int8" in kind for kind in kinds)
    expected = arrays(MODELS[name] / "expected.npz")
    request = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    vectors = request.infer(towers.text.model_inputs(expected["ids"]))[0]
    cosines = (vectors * expected["text_vectors"]).sum(axis=1) / np.linalg.norm(vectors, axis=1)
    assert len(cosines) == len(TEXTS["models"])
    assert (cosines / np.linalg.norm(expected["text_vectors"], axis=1)).min() > 0.99


def test_fidelity_counts_the_neighbours_that_agree():
    exact = np.random.default_rng(0).standard_normal((40, 8)).astype(np.float32)
    same = fidelity(exact, exact * 3)
    assert (same.items, same.recall_at_10, same.suffices) == (40, 1, True)
    assert same.least_cosine == pytest.approx(1)
    other = fidelity(exact, exact[::-1])
    assert other.recall_at_10 < 0.6
    assert not other.suffices


@pytest.mark.skipif(importlib.util.find_spec("nncf") is not None, reason="NNCF is installed here")
def test_calibration_needs_the_extra(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["quantize", "--model-name", "emoji", "--images", str(tmp_path)]) == 1
    assert "pip install 'openclip-api[quantize]'" in capsys.readouterr().err


def test_a_damaged_calibrated_graph_names_its_file(tmp_path: Path):
    checkpoint = find("emoji")
    folder = calibrated_folder(checkpoint, weights_sha256(checkpoint.weights), tmp_path)
    folder.mkdir(parents=True)
    for name in ("image.xml", "image.bin"):
        (folder / name).write_bytes(b"damaged")
    with pytest.raises(CorruptCheckpoint, match=r"image\.xml cannot be read"):
        load("emoji", precision="int8", cache_dir=tmp_path)


def test_a_graph_that_an_earlier_version_calibrated_is_refused(tmp_path: Path):
    """It takes padded texts."""
    checkpoint = find("emoji")
    folder = calibrated_folder(checkpoint, weights_sha256(checkpoint.weights), tmp_path)
    ids = op.parameter([-1, -1], np.int32)
    ids.output(0).set_names({"ids"})
    ov.save_model(ov.Model([op.convert(ids, "f32")], [ids]), folder / "text.xml")
    with pytest.raises(CorruptCheckpoint, match=r"text\.xml is of an earlier version: calibrate again"):
        load("emoji", precision="int8", cache_dir=tmp_path)
