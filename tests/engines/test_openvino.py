from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

import openclip_api
from openclip_api.checkpoints.checkpoint import find
from openclip_api.engines.openvino import OpenVinoEngine, check_precision, native_precision
from openclip_api.errors import InvalidSetting, UnsupportedModel
from openclip_api.inputs.images import image_reader
from openclip_api.models.build import build_towers

from ..golden import FOLDERS, IMAGES, MODELS, TEXTS, arrays


def engine(folder: Path, precision: str = "fp32", device: str = "cpu") -> OpenVinoEngine:
    checkpoint = find(f"local-dir:{folder}")
    towers = build_towers(checkpoint.config, checkpoint.preprocess, checkpoint.read())
    return OpenVinoEngine(towers, precision, device=device)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_weights_live_as_long_as_the_engine(name: str) -> None:
    """The graphs point into mapped memory: whoever made them may let go of it."""
    expected = arrays(MODELS[name] / "expected.npz")
    made = engine(MODELS[name])
    gc.collect()
    for _ in range(3):
        np.testing.assert_allclose(made.encode_texts(expected["ids"]), expected["text_vectors"], atol=1e-4)


def test_each_call_has_its_own_result() -> None:
    ids = arrays(MODELS["clipa"] / "expected.npz")["ids"]
    made = engine(MODELS["clipa"])
    first = made.encode_texts(ids[:2])
    kept = first.copy()
    made.encode_texts(ids[2:4])
    np.testing.assert_array_equal(first, kept)


def test_batches_of_any_size() -> None:
    expected = arrays(MODELS["openai"] / "expected.npz")
    made = engine(MODELS["openai"])
    for size in (1, 2, 7, len(TEXTS["models"])):
        vectors = made.encode_texts(expected["ids"][:size])
        np.testing.assert_allclose(vectors, expected["text_vectors"][:size], atol=1e-4)


def test_precision() -> None:
    made = engine(MODELS["clipa"], "auto")
    assert made.precision == native_precision(ov.Core())
    check_precision("auto")
    check_precision("fp32")


def test_another_device_than_the_cpu_is_given_none_of_its_options() -> None:
    """HETERO is such a device to OpenVINO, and here it hands all on to the CPU."""
    expected = arrays(MODELS["openai"] / "expected.npz")
    made = engine(MODELS["openai"], device="hetero:cpu")
    np.testing.assert_allclose(made.encode_texts(expected["ids"]), expected["text_vectors"], atol=1e-4)
    with pytest.raises(UnsupportedModel, match=r"^DEVICE=hetero:tpu cannot run this model \(.+\): set DEVICE=cpu$"):
        engine(MODELS["openai"], device="hetero:tpu")


@pytest.mark.parametrize("device", ["gpu", "npu"])
def test_a_device_that_is_not_there_is_told_with_those_that_are(device: str) -> None:
    if device.upper() in str(ov.Core().available_devices):
        pytest.skip("it is there")
    with pytest.raises(InvalidSetting, match=rf"^DEVICE={device}: OpenVINO finds none here, only cpu"):
        openclip_api.load("emoji", device=device)


def test_what_the_cpu_alone_computes_in_is_refused_elsewhere() -> None:
    for precision in ("bf16", "int8"):
        with pytest.raises(InvalidSetting, match=rf"^PRECISION={precision}: not with DEVICE=gpu; allowed there: "):
            check_precision(precision, "gpu")
    check_precision("fp32", "gpu")
    assert native_precision(ov.Core(), "gpu") == "fp16"


def test_bf16_is_refused_where_the_cpu_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ov.Core, "get_property", lambda *_: ["FP32", "INT8"])
    with pytest.raises(InvalidSetting, match="PRECISION=bf16"):
        check_precision("bf16")


@pytest.mark.slow
def test_batches_take_a_few_sizes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each new shape costs time and memory that are never given back."""
    made = engine(MODELS["openai"])
    seen: set[int] = set()
    infer = made._infer
    monkeypatch.setattr(made, "_infer", lambda _, inputs: (seen.add(len(inputs["ids"])), infer(_, inputs))[1])
    context = arrays(MODELS["openai"] / "expected.npz")["ids"].shape[1]
    for batch in range(1, 17):
        for length in range(2, context + 1):
            ids = np.zeros((batch, context), np.int32)
            ids[:, : length - 1] = 5
            ids[:, length - 1] = 900  # the end-of-text is the greatest id
            assert made.encode_texts(ids).shape[0] == batch
    assert seen <= {*range(8, 128, 8), *range(128, 257, 16)}


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("name", FOLDERS)
def test_a_text_has_the_same_vector_whoever_travels_with_it(name: str, precision: str) -> None:
    ids = arrays(FOLDERS[name] / "expected.npz")["ids"]
    made = engine(FOLDERS[name], precision)
    alone = np.concatenate([made.encode_texts(row[None]) for row in ids])
    largest = np.abs(alone).max()
    for order in (range(len(ids)), [*range(len(ids))[::-1]], [0] * 40, [*range(len(ids))] * 3):
        np.testing.assert_allclose(made.encode_texts(ids[order]), alone[order], atol=largest * 2e-5)


@pytest.mark.parametrize("name", FOLDERS)
def test_each_architecture_computes_in_int8(name: str) -> None:
    """Random weights lose more than trained ones: what is far off would be a wrong layer."""
    folder = FOLDERS[name]
    checkpoint, expected, made = find(f"local-dir:{folder}"), arrays(folder / "expected.npz"), engine(folder, "int8")
    read = image_reader(checkpoint.preprocess)
    images = made.encode_images(np.stack([read(data).pixels for data in list(IMAGES.values())[:8]]))
    texts = made.encode_texts(expected["ids"])
    for found, vectors in ((images, expected["image_vectors"][:8]), (texts, expected["text_vectors"])):
        cosines = (found * vectors).sum(axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(vectors, axis=1)
        assert cosines.mean() > 0.98
