from __future__ import annotations

import numpy as np
from infinity_client import Client
from infinity_client.api.default import embeddings
from infinity_client.models import (
    OpenAIEmbeddingInputImage,
    OpenAIEmbeddingInputImageModality,
    OpenAIEmbeddingInputText,
    OpenAIEmbeddingResult,
)

from .conftest import Reference


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
