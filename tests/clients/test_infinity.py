from __future__ import annotations

import numpy as np
from infinity_client import AuthenticatedClient, Client
from infinity_client.api.default import embeddings, embeddings_image, models
from infinity_client.models import (
    ImageEmbeddingInput,
    OpenAIEmbeddingInputImage,
    OpenAIEmbeddingInputImageModality,
    OpenAIEmbeddingInputText,
    OpenAIEmbeddingResult,
)

from .conftest import Reference, texts


def test_texts_with_the_client_s_own_defaults(url: str, unit: Reference):
    """model "default/not-specified", dimensions 0, modality text"""
    answer = embeddings.sync(client=Client(base_url=url), body=OpenAIEmbeddingInputText(input_=["a cat", "pizza"]))
    assert isinstance(answer, OpenAIEmbeddingResult)
    np.testing.assert_allclose([row.embedding for row in answer.data], unit(text=["a cat", "pizza"]), atol=1e-6)
    assert answer.usage.total_tokens > 2
    assert answer.created
    assert answer.id


def test_images(url: str, unit: Reference, picture: str):
    body = OpenAIEmbeddingInputImage(
        input_=[f"data:image/png;base64,{picture}"], modality=OpenAIEmbeddingInputImageModality.IMAGE
    )
    answer = embeddings.sync(client=Client(base_url=url), body=body)
    assert isinstance(answer, OpenAIEmbeddingResult)
    np.testing.assert_allclose([row.embedding for row in answer.data], unit(image=picture), atol=1e-6)


def test_images_in_the_older_form(url: str, unit: Reference, picture: str):
    body = ImageEmbeddingInput(input_=[f"data:image/png;base64,{picture}"], model="emoji")
    answer = embeddings_image.sync(client=Client(base_url=url), body=body)
    assert isinstance(answer, OpenAIEmbeddingResult)
    np.testing.assert_allclose([row.embedding for row in answer.data], unit(image=picture), atol=1e-6)


def test_models(url: str):
    [model] = models.sync(client=Client(base_url=url)).data
    assert model.id == "emoji"
    assert model.owned_by.value == "infinity"
    assert model.stats["batch_size"] == 16
    assert model.stats["queue_absolute"] == 0


def test_2048_texts_a_wrong_one_and_a_key(url: str, closed: str, unit: Reference):
    many = texts(2048)
    answer = embeddings.sync(client=Client(base_url=url), body=OpenAIEmbeddingInputText(input_=many))
    assert isinstance(answer, OpenAIEmbeddingResult)
    np.testing.assert_allclose([row.embedding for row in answer.data], unit(text=many), atol=1e-5)
    wrong = embeddings.sync_detailed(client=Client(base_url=url), body=OpenAIEmbeddingInputText(input_=["a", ""]))
    assert wrong.status_code == 400
    assert b"input[1]" in wrong.content
    body = OpenAIEmbeddingInputText(input_=["a"])
    assert embeddings.sync(client=AuthenticatedClient(base_url=closed, token="right"), body=body)
    assert embeddings.sync_detailed(client=Client(base_url=closed), body=body).status_code == 401
