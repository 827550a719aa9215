"""What speaks to text-embeddings-inference or asks Hugging Face's tasks, in Python and Node."""

from __future__ import annotations

import base64

import httpx
import litellm
import numpy as np
import pytest
from chromadb.utils.embedding_functions import HuggingFaceEmbeddingServer
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference

from .conftest import ROOT, Reference, node, texts

TEXTS = ["a red car", "a cat", "pizza"]
LABELS = ["a cat", "a red car", "pizza"]


@pytest.mark.parametrize("path", ["", "/embed"])
def test_feature_extraction(url: str, unit: Reference, path: str):
    client = InferenceClient(base_url=f"{url}{path}")
    np.testing.assert_allclose(client.feature_extraction("a cat"), unit(text="a cat"), atol=1e-6)
    rows = client.feature_extraction(TEXTS, normalize=True, truncate=True)  # type: ignore[arg-type]
    np.testing.assert_allclose(rows, unit(text=TEXTS), atol=1e-6)
    many = texts(2048)
    np.testing.assert_allclose(client.feature_extraction(many), unit(text=many), atol=1e-5)  # type: ignore[arg-type]
    with pytest.raises(HfHubHTTPError, match=r"inputs\[1\]") as caught:
        client.feature_extraction(["a", ""])  # type: ignore[arg-type]
    assert caught.value.response.status_code == 422


def test_zero_shot_image_classification(url: str, closed: str, picture: str):
    image = ROOT / "samples" / "cat.png"
    for client in (InferenceClient(base_url=url), InferenceClient(base_url=closed, api_key="right")):
        rows = client.zero_shot_image_classification(str(image), candidate_labels=LABELS)
        assert rows[0].label == "a cat"
        assert sum(row.score for row in rows) == pytest.approx(1, abs=1e-4)
    told = InferenceClient(base_url=url).zero_shot_image_classification(
        image, candidate_labels=LABELS, hypothesis_template="{}"
    )
    asked = {"image": picture, "labels": LABELS, "templates": ["{}"]}
    [expected] = httpx.post(f"{url}/classify", json=asked).json()["results"]
    np.testing.assert_allclose([row.score for row in told], [row["score"] for row in expected], atol=1e-5)
    with pytest.raises(HfHubHTTPError, match="not a JPEG"):
        InferenceClient(base_url=url).zero_shot_image_classification(b"no image", candidate_labels=LABELS)


def test_a_key(closed: str):
    assert len(InferenceClient(base_url=closed, api_key="right").feature_extraction("a")) == 1
    with pytest.raises(HfHubHTTPError) as caught:
        InferenceClient(base_url=closed, api_key="wrong").feature_extraction("a")
    assert caught.value.response.status_code == 401


def test_chroma(url: str, closed: str, unit: Reference):
    many = texts(2048)
    np.testing.assert_allclose(HuggingFaceEmbeddingServer(url=f"{url}/embed")(many), unit(text=many), atol=1e-5)
    with pytest.warns(DeprecationWarning, match="api_key"):
        keyed = HuggingFaceEmbeddingServer(url=f"{closed}/embed", api_key="right")
    assert np.array(keyed(["a"])).shape == (1, 256)


def test_llama_index(url: str, closed: str, unit: Reference):
    embedding = TextEmbeddingsInference(model_name="emoji", base_url=url, embed_batch_size=512)
    many = texts(2048)
    np.testing.assert_allclose(embedding.get_text_embedding_batch(many), unit(text=many), atol=1e-5)
    keyed = TextEmbeddingsInference(model_name="emoji", base_url=closed, auth_token="right")
    assert len(keyed.get_query_embedding("a")) == 256


def test_litellm(url: str, closed: str, unit: Reference):
    """`input_type` says which task it is; without it litellm asks Hugging Face's hub."""
    asked = {"model": "huggingface/emoji", "input_type": "embed"}
    answer = litellm.embedding(input=TEXTS, api_base=f"{url}/embed", **asked)
    np.testing.assert_allclose([row["embedding"] for row in answer.data], unit(text=TEXTS), atol=1e-6)
    keyed = litellm.embedding(input=["a"], api_base=f"{closed}/embed", api_key="right", **asked)
    assert len(keyed.data) == 1
    with pytest.raises(litellm.exceptions.APIError):
        litellm.embedding(input=["a", ""], api_base=f"{url}/embed", **asked)


NODE = """
import { readFile } from "node:fs/promises";
import { InferenceClient } from "@huggingface/inference";
const [url, closed, picture] = process.argv.slice(2);
const inputs = Array.from({ length: 2048 }, (_, i) => `thing ${i}`);
const client = new InferenceClient().endpoint(url);
const told = async (ask) => {
  try { await ask(); } catch (error) { return error.message + JSON.stringify(error.httpResponse?.body ?? ""); }
};
const image = new Blob([await readFile(picture)]);
const labels = ["a cat", "a red car", "pizza"];
console.log(JSON.stringify({
  rows: await client.featureExtraction({ inputs }),
  ranking: await client.zeroShotImageClassification({ inputs: { image }, parameters: { candidate_labels: labels } }),
  wrong: await told(() => client.featureExtraction({ inputs: ["a", ""] })),
  keyed: (await new InferenceClient("right").endpoint(closed).featureExtraction({ inputs: "a" })).length,
  keyless: await told(() => new InferenceClient().endpoint(closed).featureExtraction({ inputs: "a" })),
}));
"""


def test_node(url: str, closed: str, unit: Reference):
    answer = node(NODE, url, closed, str(ROOT / "samples" / "cat.png"))
    np.testing.assert_allclose(answer["rows"], unit(text=texts(2048)), atol=1e-5)
    assert answer["ranking"][0]["label"] == "a cat"
    assert "inputs[1]" in answer["wrong"]
    assert answer["keyed"] == 1
    assert "API key" in answer["keyless"]


def test_pictures_as_data_uris(url: str, unit: Reference):
    picture = base64.b64encode((ROOT / "samples" / "cat.png").read_bytes()).decode()
    rows = InferenceClient(base_url=url).feature_extraction(f"data:image/png;base64,{picture}")
    np.testing.assert_allclose(rows, unit(image=picture), atol=1e-6)
