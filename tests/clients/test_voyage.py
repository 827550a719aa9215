from __future__ import annotations

import numpy as np
import pytest
import voyageai
from PIL import Image
from voyageai.error import APIError, InvalidRequestError

from .conftest import ROOT, Reference, texts

TEXTS = ["a red car", "a cat"]


@pytest.fixture
def client(url: str) -> voyageai.Client:
    return voyageai.Client(api_key="none", base_url=f"{url}/v1", max_retries=0)


def test_multimodal(client: voyageai.Client, unit: Reference, picture: str):
    image = Image.open(ROOT / "samples" / "cat.png")
    answer = client.multimodal_embed(inputs=[["a cat"], [image], ["a cat", image]], model="emoji")
    text, picture_vector, both = np.array(answer.embeddings, np.float32)
    np.testing.assert_allclose([text], unit(text="a cat"), atol=1e-6)
    assert picture_vector @ unit(image=picture)[0] > 0.9  # the client drops transparency before it sends
    mean = (text + picture_vector) / 2
    np.testing.assert_allclose(both, mean / np.linalg.norm(mean), atol=1e-5)
    assert answer.image_pixels == 2 * image.width * image.height
    assert answer.text_tokens > 0


@pytest.mark.parametrize("dtype", [None, "float", "int8", "uint8", "binary", "ubinary"])
def test_types(client: voyageai.Client, unit: Reference, dtype: str | None):
    expected = unit(text=TEXTS)
    multimodal = client.multimodal_embed([[text] for text in TEXTS], model="emoji", output_dtype=dtype).embeddings
    texts = client.embed(TEXTS, model="emoji", output_dtype=dtype).embeddings
    # brought to length 1 once more, a vector may differ in its last bit, and a level of int8 with it
    tolerance = {None: 1e-6, "float": 1e-6, "int8": 1, "uint8": 1}.get(dtype, 0)
    np.testing.assert_allclose(multimodal, texts, rtol=0, atol=tolerance)
    if dtype in (None, "float"):
        np.testing.assert_allclose(texts, expected, atol=1e-6)
    if dtype == "ubinary":
        np.testing.assert_array_equal(np.unpackbits(np.array(texts, np.uint8), axis=1), expected > 0)
    if dtype == "int8":
        assert np.abs(texts).max(axis=1).tolist() == [127, 127]


def test_dimensions(client: voyageai.Client):
    assert len(client.embed(TEXTS, model="emoji", output_dimension=64).embeddings[0]) == 64
    assert len(client.multimodal_embed([["a"]], model="emoji", output_dimension=64).embeddings[0]) == 64


def test_errors_are_the_client_s_own(client: voyageai.Client):
    with pytest.raises(InvalidRequestError, match="longer than the model's 32 tokens"):
        client.multimodal_embed([["word " * 100]], model="emoji", truncation=False)
    with pytest.raises(InvalidRequestError, match="output_dimension"):
        client.multimodal_embed([["a"]], model="emoji", output_dimension=1000)


def test_2048_texts_and_a_wrong_item(client: voyageai.Client, unit: Reference):
    many = texts(2048)
    expected = unit(text=many)
    np.testing.assert_allclose(client.embed(many, model="emoji").embeddings, expected, atol=1e-5)
    multimodal = client.multimodal_embed([[text] for text in many], model="emoji").embeddings
    np.testing.assert_allclose(multimodal, expected, atol=1e-5)
    with pytest.raises(APIError, match=r"input\[1\]"):  # this route's errors are OpenAI's
        client.embed(["a", ""], model="emoji")
    wrong = {"content": [{"type": "image_base64", "image_base64": "?"}]}
    with pytest.raises(InvalidRequestError, match=r"inputs\[1\]\.content\[0\]"):
        client.multimodal_embed([{"content": [{"type": "text", "text": "a"}]}, wrong], model="emoji")
