from __future__ import annotations

import numpy as np
import pytest

from openclip_api.inputs.tokenizer import Tokens
from openclip_api.runtime.embedding import Embedding, Timings
from openclip_api.runtime.text_cache import TextCache

TOKENS = Tokens(np.zeros(77, np.int32), 5, False)
VECTOR = np.ones(512, np.float32)


def embedding(vector=VECTOR) -> Embedding:
    return Embedding(vector, TOKENS, None, Timings(1, 2, 3))


def test_it_never_holds_more_than_its_bytes_and_the_longest_unused_goes_first():
    cache = TextCache(10_000)
    for n in range(10):
        cache.put(f"text {n}", embedding(VECTOR + n))
        cache.get("text 0")
        assert cache.bytes <= 10_000
    kept = [n for n in range(10) if cache.get(f"text {n}") is not None]
    assert kept == [0, 8, 9]
    np.testing.assert_array_equal(cache.get("text 9").vector, VECTOR + 9)
    assert cache.get("text 9").tokens is TOKENS
    assert cache.get("text 9").timings == Timings(0, 0, 0)
    assert len(cache) == 3


def test_a_long_text_counts_with_its_length():
    cache = TextCache(10_000)
    cache.put("x" * 20_000, embedding())
    assert len(cache) == 0
    cache.put("x" * 5_000, embedding())
    assert 5_000 < cache.bytes <= 10_000


def test_nothing_is_kept_where_there_is_no_room():
    cache = TextCache(0)
    cache.put("a", embedding())
    assert cache.get("a") is None
    assert cache.bytes == 0


def test_a_kept_vector_is_no_part_of_its_batch_and_cannot_be_changed():
    batch = np.ones((8, 512), np.float32)
    cache = TextCache(10_000)
    cache.put("a", embedding(batch[3]))
    batch[3] = 7
    vector = cache.get("a").vector
    assert vector[0] == 1
    assert vector.base is None
    with pytest.raises(ValueError, match="read-only"):
        vector[0] = 2
