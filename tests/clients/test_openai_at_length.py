"""What stands on OpenAI's protocol and sends hundreds or thousands of texts at once."""

from __future__ import annotations

import litellm
import numpy as np
import openai
import pytest
from chromadb.utils.embedding_functions import OpenAIEmbeddingFunction
from haystack import Document
from haystack.components.embedders import OpenAIDocumentEmbedder
from haystack.utils import Secret

from .conftest import Reference, node, texts

MANY = texts(2048)


def test_chroma(url: str, closed: str, unit: Reference, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHROMA_OPENAI_API_KEY", "right")
    function = OpenAIEmbeddingFunction(model_name="emoji", api_base=f"{url}/v1")
    np.testing.assert_allclose(function(MANY), unit(text=MANY), atol=1e-5)
    assert len(OpenAIEmbeddingFunction(model_name="emoji", api_base=f"{closed}/v1")(["a"])) == 1
    with pytest.raises(openai.BadRequestError, match=r"input\[1\]"):
        function(["a", ""])


def test_haystack(url: str, closed: str, unit: Reference):
    def embedder(base: str) -> OpenAIDocumentEmbedder:
        options = {"batch_size": 512, "progress_bar": False, "raise_on_failure": True}
        key = Secret.from_token("right")
        return OpenAIDocumentEmbedder(api_key=key, model="emoji", api_base_url=f"{base}/v1", **options)

    documents = embedder(url).run([Document(content=text) for text in MANY])["documents"]
    np.testing.assert_allclose([document.embedding for document in documents], unit(text=MANY), atol=1e-5)
    assert embedder(closed).run([Document(content="a")])["documents"][0].embedding


def test_litellm(url: str, closed: str, unit: Reference):
    answer = litellm.embedding("openai/emoji", input=MANY, api_base=f"{url}/v1", api_key="none")
    np.testing.assert_allclose([row["embedding"] for row in answer.data], unit(text=MANY), atol=1e-5)
    assert litellm.embedding("openai/emoji", input=["a"], api_base=f"{closed}/v1", api_key="right").data
    with pytest.raises(litellm.exceptions.BadRequestError, match=r"input\[1\]"):
        litellm.embedding("openai/emoji", input=["a", ""], api_base=f"{url}/v1", api_key="none")


@pytest.mark.anyio
async def test_litellm_s_health_check_of_a_proxy_s_model(url: str):
    """With mode: embedding in the model's model_info it embeds; else it would post a chat completion."""
    asked = {"model": "openai/emoji", "api_base": f"{url}/v1", "api_key": "none"}
    healthy = await litellm.ahealth_check(dict(asked), mode="embedding", input=["a"])
    assert "error" not in healthy
    unhealthy = await litellm.ahealth_check(dict(asked), mode="chat", prompt="a")
    assert "error" in unhealthy


NODE = """
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { OpenAIEmbeddings } from "@langchain/openai";
import { embedMany } from "ai";
const [url, closed] = process.argv.slice(2);
const values = Array.from({ length: 2048 }, (_, i) => `thing ${i}`);
const model = (base, apiKey) => createOpenAICompatible({ name: "openclip", baseURL: `${base}/v1`, apiKey })
  .textEmbeddingModel("emoji");
const langchain = (base, apiKey) => new OpenAIEmbeddings({
  model: "emoji", apiKey, batchSize: 2048, maxRetries: 0, configuration: { baseURL: `${base}/v1` },
});
const told = async (ask) => { try { await ask(); } catch (error) { return error.message; } };
console.log(JSON.stringify({
  vercel: (await embedMany({ model: model(url, "none"), values })).embeddings,
  langchain: await langchain(url, "none").embedDocuments(values),
  wrong: [
    await told(() => embedMany({ model: model(url, "none"), values: ["a", ""], maxRetries: 0 })),
    await told(() => langchain(url, "none").embedDocuments(["a", ""])),
  ],
  keyed: [
    (await embedMany({ model: model(closed, "right"), values: ["a"] })).embeddings.length,
    (await langchain(closed, "right").embedDocuments(["a"])).length,
  ],
  keyless: await told(() => embedMany({ model: model(closed, "wrong"), values: ["a"], maxRetries: 0 })),
}));
"""


def test_vercel_s_ai_sdk_and_langchain_for_node(url: str, closed: str, unit: Reference):
    answer = node(NODE, url, closed)
    expected = unit(text=MANY)
    np.testing.assert_allclose(answer["vercel"], expected, atol=1e-5)
    np.testing.assert_allclose(answer["langchain"], expected, atol=1e-5)
    assert all("input[1]" in message for message in answer["wrong"])
    assert answer["keyed"] == [1, 1]
    assert "API key" in answer["keyless"]
