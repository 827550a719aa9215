"""What vectors become on their way out, by numbers made by hand."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from openclip_api.errors import InvalidInput
from openclip_api.runtime.embedding import unit_length
from openclip_api.server.shared.vectors import as_base64, as_type, first_dimensions, fused

HAND = np.array([[0.5, -0.25, 0.0, 1.0, -1.0, 0.1, 0.0, -0.0, 0.2, -0.2]], np.float32)


def test_bits_by_hand():
    # 1 where it is over 0; the second byte has two places and six that are empty
    assert as_type(HAND, "ubinary").tolist() == [[0b10010100, 0b10000000]]
    assert as_type(HAND, "binary").tolist() == [[0b10010100 - 128, 0]]
    assert as_type(HAND, "binary").dtype == np.int8


def test_levels_by_hand():
    assert as_type(HAND, "int8").tolist() == [[64, -32, 0, 127, -127, 13, 0, 0, 25, -25]]
    assert as_type(HAND, "uint8").tolist() == [[192, 96, 128, 255, 1, 141, 128, 128, 153, 103]]


@pytest.mark.parametrize("type", ["int8", "uint8", "binary", "ubinary", "float"])
def test_a_vector_of_zeros(type: str):
    assert len(np.unique(as_type(np.zeros((2, 8), np.float32), type))) == 1


def test_int8_keeps_cosines_even_where_one_dimension_is_far_out():
    """As in CLIP, where a few dimensions are some ten times the others."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(50, 512)).astype(np.float32)
    vectors[:, 133] = 12
    vectors = unit_length(vectors)
    levels = unit_length(as_type(vectors, "int8").astype(np.float32))
    assert (levels * vectors).sum(axis=1).min() > 0.999
    assert np.abs(levels @ levels.T - vectors @ vectors.T).max() < 0.01


def test_base64_is_little_endian_whatever_the_rows_are():
    rows = HAND.astype(">f4")[:, ::2]
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(as_base64(rows)[0]), "<f4"), HAND[0, ::2])


def test_parts_are_fused_by_their_direction_alone():
    vectors = np.array([[10, 0], [0, 0.1], [3, 4]], np.float32)
    np.testing.assert_allclose(fused(vectors, [2, 1]), [[0.5**0.5, 0.5**0.5], [0.6, 0.8]], atol=1e-6)


def test_dimensions():
    assert first_dimensions(HAND, 3, "d").tolist() == HAND[:, :3].tolist()
    for all_of_them in (None, 0, 10):
        assert first_dimensions(HAND, all_of_them, "d").tolist() == HAND.tolist()
    for wrong in (-1, 11, 10**30):
        with pytest.raises(InvalidInput, match="d: between 1 and 10"):
            first_dimensions(HAND, wrong, "d")
