from __future__ import annotations

import base64

import cohere
import numpy as np
import pytest
from cohere.core.api_error import ApiError

from .conftest import Reference, texts

TEXTS = ["a red car", "a cat", "pizza"]


@pytest.fixture
def client(url: str) -> cohere.ClientV2:
    return cohere.ClientV2(api_key="none", base_url=url)


def test_texts_in_every_type(client: cohere.ClientV2, unit: Reference):
    types = ["float", "int8", "uint8", "binary", "ubinary", "base64"]
    answer = client.embed(model="emoji", input_type="search_query", texts=TEXTS, embedding_types=types)
    expected = unit(text=TEXTS)
    np.testing.assert_allclose(answer.embeddings.float_, expected, atol=1e-6)
    decoded = [np.frombuffer(base64.b64decode(row), "<f4") for row in answer.embeddings.base64]
    np.testing.assert_allclose(decoded, expected, atol=1e-6)
    np.testing.assert_array_equal(np.unpackbits(np.array(answer.embeddings.ubinary, np.uint8), axis=1), expected > 0)
    assert np.array(answer.embeddings.binary).min() < 0
    assert np.abs(answer.embeddings.int8).max() == 127
    assert np.array(answer.embeddings.uint8).min() >= 0
    assert answer.texts == TEXTS
    assert answer.meta.billed_units.input_tokens > 3


def test_2048_texts(client: cohere.ClientV2, unit: Reference):
    many = texts(2048)
    answer = client.embed(model="emoji", input_type="search_query", texts=many, embedding_types=["float"])
    np.testing.assert_allclose(answer.embeddings.float_, unit(text=many), atol=1e-5)


def test_images_and_inputs(client: cohere.ClientV2, unit: Reference, picture: str):
    uri = f"data:image/png;base64,{picture}"
    images = client.embed(model="emoji", input_type="image", images=[uri], embedding_types=["float"])
    np.testing.assert_allclose(images.embeddings.float_, unit(image=picture), atol=1e-6)
    content = [{"type": "text", "text": "a cat"}, {"type": "image_url", "image_url": {"url": uri}}]
    inputs = client.embed(
        model="emoji",
        input_type="image",
        inputs=[{"content": content}],
        embedding_types=["float"],
        output_dimension=256,
    )
    mean = unit(text="a cat", image=picture).mean(axis=0)
    np.testing.assert_allclose(inputs.embeddings.float_, [mean / np.linalg.norm(mean)], atol=1e-5)


@pytest.mark.parametrize(
    ("error", "asked", "named"),
    [
        (cohere.BadRequestError, {"texts": ["word " * 100], "truncate": "NONE"}, "longer than the model's 32 tokens"),
        (cohere.BadRequestError, {"texts": ["a"], "output_dimension": 1000}, "output_dimension"),
        (cohere.BadRequestError, {"images": ["data:image/png;base64,aGk=", "?"]}, "images[1]"),
        (cohere.NotFoundError, {"texts": ["a"], "model": "embed-v4.0"}, "model"),
        (ApiError, {"texts": ["a"] * 2049}, "more than 2048 texts"),
    ],
)
def test_errors_are_the_client_s_own(client: cohere.ClientV2, error: type, asked: dict, named: str):
    with pytest.raises(error) as caught:
        client.embed(**{"model": "emoji", "input_type": "search_query", "embedding_types": ["float"], **asked})
    assert named in caught.value.body["message"]
