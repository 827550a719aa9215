"""With API_KEY set: each client sends its key in a way that counts, and knows a refusal as one."""

from __future__ import annotations

import cohere
import openai
import pytest
import voyageai
import voyageai.error


def ask_openai(url: str, key: str) -> None:
    openai.OpenAI(base_url=f"{url}/v1", api_key=key).embeddings.create(model="emoji", input="a")


def ask_cohere(url: str, key: str) -> None:
    client = cohere.ClientV2(api_key=key, base_url=url)
    client.embed(model="emoji", input_type="search_query", texts=["a"], embedding_types=["float"])


def ask_voyage(url: str, key: str) -> None:
    voyageai.Client(api_key=key, base_url=f"{url}/v1").multimodal_embed([["a"]], model="emoji")


@pytest.mark.parametrize(
    ("ask", "refusal"),
    [
        (ask_openai, openai.AuthenticationError),
        (ask_cohere, cohere.UnauthorizedError),
        (ask_voyage, voyageai.error.AuthenticationError),
    ],
)
def test_a_key(closed: str, ask, refusal: type):
    ask(closed, "right")
    with pytest.raises(refusal):
        ask(closed, "wrong")
