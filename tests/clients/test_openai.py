"""openai, and what stands on it: LangChain and LlamaIndex."""

from __future__ import annotations

import asyncio

import langchain_openai
import numpy as np
import openai
import pytest
from llama_index.embeddings.openai_like import OpenAILikeEmbedding

from .conftest import Reference

TEXTS = ["a red car", "a cat", "pizza"]


@pytest.fixture
def client(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


def rows(answer: openai.types.CreateEmbeddingResponse) -> np.ndarray:
    return np.array([row.embedding for row in answer.data], np.float32)


@pytest.mark.parametrize("options", [{}, {"encoding_format": "float"}, {"user": "someone"}])
def test_embeddings(client: openai.OpenAI, unit: Reference, options: dict):
    answer = client.embeddings.create(model="emoji", input=TEXTS, **options)
    np.testing.assert_allclose(rows(answer), unit(text=TEXTS), atol=1e-6)
    assert answer.model == "OpenCLIP-emoji"
    assert answer.usage.prompt_tokens > 3


def test_the_client_asks_for_base64_by_itself(client: openai.OpenAI):
    sent = client.embeddings.with_raw_response.create(model="emoji", input="a cat").http_request
    assert b'"encoding_format":"base64"' in sent.content.replace(b" ", b"")


def test_dimensions(client: openai.OpenAI, unit: Reference):
    short = rows(client.embeddings.create(model="emoji", input=TEXTS, dimensions=64))
    expected = unit(text=TEXTS)[:, :64]
    np.testing.assert_allclose(short, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6)


def test_images_by_infinity_s_modality_and_jina_s_objects(client: openai.OpenAI, unit: Reference, picture: str):
    expected = unit(image=picture)
    answer = client.embeddings.create(model="emoji", input=[picture], extra_body={"modality": "image"})
    np.testing.assert_allclose(rows(answer), expected, atol=1e-6)
    answer = client.embeddings.create(model="emoji", input=[{"image": picture}, {"text": "a cat"}])  # type: ignore
    np.testing.assert_allclose(rows(answer)[:1], expected, atol=1e-6)


def test_async(url: str, unit: Reference):
    async def ask() -> openai.types.CreateEmbeddingResponse:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client:
            return await client.embeddings.create(model="emoji", input=TEXTS)

    np.testing.assert_allclose(rows(asyncio.run(ask())), unit(text=TEXTS), atol=1e-6)


def test_models(client: openai.OpenAI):
    assert [model.id for model in client.models.list()] == ["emoji"]
    assert client.models.retrieve("emoji").id == "emoji"


@pytest.mark.parametrize(
    ("error", "asked", "param", "code"),
    [
        (openai.BadRequestError, {"input": [[1, 2]]}, "input", "invalid_input"),
        (openai.BadRequestError, {"input": ["a", ""]}, "input[1]", "invalid_input"),
        (openai.BadRequestError, {"input": "a", "dimensions": 1000}, "dimensions", "invalid_input"),
        (openai.NotFoundError, {"input": "a", "model": "text-embedding-3-small"}, "model", "model_not_found"),
        (openai.APIStatusError, {"input": ["a"] * 2049}, None, "too_large"),
    ],
)
def test_errors_are_the_client_s_own(client: openai.OpenAI, error: type, asked: dict, param: str | None, code: str):
    with pytest.raises(error) as caught:
        client.embeddings.create(**{"model": "emoji", **asked})
    assert (caught.value.param, caught.value.code) == (param, code)
    assert caught.value.message


def langchain(url: str, **options: object) -> langchain_openai.OpenAIEmbeddings:
    return langchain_openai.OpenAIEmbeddings(model="emoji", base_url=f"{url}/v1", api_key="none", **options)


def test_langchain(url: str, unit: Reference):
    embeddings = langchain(url, check_embedding_ctx_length=False)
    np.testing.assert_allclose(embeddings.embed_documents(TEXTS), unit(text=TEXTS), atol=1e-6)
    np.testing.assert_allclose([embeddings.embed_query("a cat")], unit(text="a cat"), atol=1e-6)
    short = langchain(url, check_embedding_ctx_length=False, dimensions=64).embed_query("a cat")
    assert len(short) == 64


def test_a_long_list_goes_in_chunks(url: str, unit: Reference):
    """LangChain sends 1,000 at once."""
    texts = [f"thing {i}" for i in range(2500)]
    embeddings = langchain(url, check_embedding_ctx_length=False)
    np.testing.assert_allclose(embeddings.embed_documents(texts)[2000:], unit(text=texts[2000:]), atol=1e-5)
    with pytest.raises(openai.APIStatusError, match="MAX_TEXTS"):
        langchain(url, check_embedding_ctx_length=False, chunk_size=2049).embed_documents(texts)


def test_2048_texts_at_once(client: openai.OpenAI, unit: Reference):
    texts = [f"thing {i}" for i in range(2048)]
    np.testing.assert_allclose(rows(client.embeddings.create(model="emoji", input=texts)), unit(text=texts), atol=1e-5)


def test_what_langchain_sends_without_the_option_is_refused_with_the_remedy(client: openai.OpenAI):
    """Token ids, as OpenAIEmbeddings makes them with tiktoken, whose vocabulary it would have to download."""
    with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False"):
        client.embeddings.create(model="emoji", input=[[64, 8415]])


def test_llama_index(url: str, unit: Reference):
    embedding = OpenAILikeEmbedding(model_name="emoji", api_base=f"{url}/v1", api_key="none", max_retries=0)
    np.testing.assert_allclose(embedding.get_text_embedding_batch(TEXTS), unit(text=TEXTS), atol=1e-6)
    np.testing.assert_allclose([embedding.get_query_embedding("a cat")], unit(text="a cat"), atol=1e-6)
