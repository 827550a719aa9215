"""Position tables of another size than the config asks for. parity/test_positions.py compares with open_clip."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from openclip_api.checkpoints.weights import Weights
from openclip_api.engines.openvino import OpenVinoEngine
from openclip_api.errors import CorruptCheckpoint, UnsupportedModel
from openclip_api.models.positions import image_positions, text_positions

from ..support.model_folders import CONFIG, TENSORS, built, changed


def values(node: Any) -> np.ndarray:
    return np.asarray(node.get_data())


def table(rows: int, width: int = 2) -> np.ndarray:
    return np.random.RandomState(0).randn(rows, width).astype(np.float32)


def test_the_weights_own_size_is_left_as_it_is() -> None:
    positions = table(10)
    np.testing.assert_array_equal(
        values(image_positions(Weights({"p": positions}), "p", 3, 2, tokens_before=1)), positions
    )
    np.testing.assert_array_equal(values(text_positions(Weights({"p": positions}), "p", 10, 2)), positions)


@pytest.mark.parametrize("grid", [2, 3, 5, 8, 16])
def test_a_constant_stays_constant_and_the_class_token_is_kept(grid: int) -> None:
    positions = np.concatenate([[[7.0, 8.0]], np.full((16, 2), 3.0)]).astype(np.float32)
    resized = values(image_positions(Weights({"p": positions}), "p", grid, 2, tokens_before=1))

    np.testing.assert_array_equal(resized[0], [7, 8])
    np.testing.assert_allclose(resized[1:], np.full((grid * grid, 2), 3.0), rtol=1e-6)


def test_torch_s_own_numbers() -> None:
    """interpolate(arange(4.0).reshape(1, 1, 2, 2), (3, 3), mode="bicubic", antialias=True) of torch 2.14."""
    positions = np.arange(4, dtype=np.float32).reshape(1, 4, 1)
    resized = values(image_positions(Weights({"p": positions}), "p", 3, 1, tokens_before=0)).reshape(3, 3)

    np.testing.assert_allclose(
        resized, [[-0.1974, 0.3684, 0.9342], [0.9342, 1.5, 2.0658], [2.0658, 2.6316, 3.1974]], atol=1e-4
    )


def test_texts_linearly() -> None:
    """torch.nn.functional.interpolate(tensor([0, 1, 2, 3]), 6 or 2, mode="linear")."""
    w = Weights({"p": np.arange(4, dtype=np.float32)[:, None]})

    np.testing.assert_allclose(values(text_positions(w, "p", 6, 1))[:, 0], [0, 0.5, 7 / 6, 11 / 6, 2.5, 3], atol=1e-6)
    np.testing.assert_allclose(values(text_positions(w, "p", 2, 1))[:, 0], [0.5, 2.5], atol=1e-6)


@pytest.mark.parametrize(("rows", "width"), [(11, 2), (17, 3), (1, 2), (0, 2)])
def test_a_table_that_is_no_square_is_refused(rows: int, width: int) -> None:
    with pytest.raises(CorruptCheckpoint, match=r"'p' has shape .*, its config asks for \[26, 2\]"):
        image_positions(Weights({"p": table(rows, width)}), "p", 5, 2, tokens_before=1)


def test_a_size_beyond_any_model_is_refused_before_it_takes_memory() -> None:
    with pytest.raises(UnsupportedModel, match="more than 65536"):
        image_positions(Weights({"p": table(5)}), "p", 2048, 2, tokens_before=1)


def test_a_model_for_other_sizes_embeds() -> None:
    config = changed("vision_cfg.image_size", 2 * CONFIG["vision_cfg"]["image_size"])
    config["text_cfg"]["context_length"] = 50
    towers = built(config, TENSORS)
    engine = OpenVinoEngine(replace(towers), "fp32", 1, {})
    size = config["vision_cfg"]["image_size"]

    assert np.isfinite(engine.encode_images(np.zeros((1, size, size, 3), np.uint8))).all()
    assert np.isfinite(engine.encode_texts(np.ones((1, 50), np.int32))).all()
    engine.close()
