"""ollama for Python and Node, and what stands on it: LangChain and litellm."""

from __future__ import annotations

import litellm
import numpy as np
import ollama
import pytest
from langchain_ollama import OllamaEmbeddings

from .conftest import Reference, node, texts

TEXTS = ["a red car", "a cat", "pizza"]


@pytest.fixture
def client(url: str) -> ollama.Client:
    return ollama.Client(host=url)


def test_embed(client: ollama.Client, unit: Reference):
    answer = client.embed(model="emoji", input=TEXTS, truncate=True, options={"num_ctx": 32}, keep_alive="5m")
    np.testing.assert_allclose(answer.embeddings, unit(text=TEXTS), atol=1e-6)
    assert answer.model == "emoji"
    assert answer.prompt_eval_count > 3
    assert len(client.embed(model="emoji:latest", input="a cat", dimensions=64).embeddings[0]) == 64
    assert len(client.embeddings(model="emoji", prompt="a cat").embedding) == 256


def test_models(client: ollama.Client):
    assert [model.model for model in client.list().models] == ["emoji"]
    shown = client.show("emoji")
    assert shown.modelinfo["clip.embedding_length"] == 256
    assert "embedding" in shown.capabilities


def test_errors_are_strings(client: ollama.Client):
    with pytest.raises(ollama.ResponseError, match=r"input\[1\]") as caught:
        client.embed(model="emoji", input=["a", ""])
    assert isinstance(caught.value.error, str)
    assert caught.value.status_code == 400
    with pytest.raises(ollama.ResponseError, match="not served here"):
        client.embed(model="nomic-embed-text", input="a")
    with pytest.raises(ollama.ResponseError, match="this server has models that embed"):
        client.chat(model="emoji", messages=[{"role": "user", "content": "hello"}])


def test_2048_texts(client: ollama.Client, unit: Reference):
    many = texts(2048)
    np.testing.assert_allclose(client.embed(model="emoji", input=many).embeddings, unit(text=many), atol=1e-5)
    with pytest.raises(ollama.ResponseError, match="MAX_TEXTS"):
        client.embed(model="emoji", input=texts(2049))


def test_a_key(closed: str):
    with_key = ollama.Client(host=closed, headers={"Authorization": "Bearer right"})
    assert len(with_key.embed(model="emoji", input="a").embeddings) == 1
    with pytest.raises(ollama.ResponseError, match="API key") as caught:
        ollama.Client(host=closed).embed(model="emoji", input="a")
    assert caught.value.status_code == 401


def test_langchain(url: str, unit: Reference):
    embeddings = OllamaEmbeddings(model="emoji", base_url=url, validate_model_on_init=True)
    np.testing.assert_allclose(embeddings.embed_documents(TEXTS), unit(text=TEXTS), atol=1e-6)
    many = texts(2048)
    np.testing.assert_allclose(embeddings.embed_documents(many), unit(text=many), atol=1e-5)


def test_litellm(url: str, closed: str, unit: Reference):
    answer = litellm.embedding("ollama/emoji", input=TEXTS, api_base=url)
    np.testing.assert_allclose([row["embedding"] for row in answer.data], unit(text=TEXTS), atol=1e-6)
    assert litellm.embedding("ollama/emoji", input=["a"], api_base=closed, api_key="right").data
    with pytest.raises(litellm.exceptions.AuthenticationError):
        litellm.embedding("ollama/emoji", input=["a"], api_base=closed, api_key="wrong")


NODE = """
import { Ollama } from "ollama";
const [url, closed] = process.argv.slice(2);
const ollama = new Ollama({ host: url });
const input = Array.from({ length: 2048 }, (_, i) => `thing ${i}`);
const told = async (ask) => { try { await ask(); } catch (error) { return error.message; } };
const keyed = new Ollama({ host: closed, headers: { Authorization: "Bearer right" } });
console.log(JSON.stringify({
  embeddings: (await ollama.embed({ model: "emoji", input })).embeddings,
  wrong: await told(() => ollama.embed({ model: "emoji", input: ["a", ""] })),
  unknown: await told(() => ollama.embed({ model: "other", input: "a" })),
  keyed: (await keyed.embed({ model: "emoji", input: "a" })).embeddings.length,
  keyless: await told(() => new Ollama({ host: closed }).embed({ model: "emoji", input: "a" })),
}));
"""


def test_node(url: str, closed: str, unit: Reference):
    answer = node(NODE, url, closed)
    np.testing.assert_allclose(answer["embeddings"], unit(text=texts(2048)), atol=1e-5)
    assert answer["wrong"].startswith("input[1]")
    assert "not served here" in answer["unknown"]
    assert answer["keyed"] == 1
    assert "API key" in answer["keyless"]
