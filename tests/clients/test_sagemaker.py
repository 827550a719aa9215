"""Amazon's client for SageMaker's endpoints, sent straight to the container: it signs, and cannot send another key."""

from __future__ import annotations

import json

import boto3
import numpy as np
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from .conftest import ROOT, Reference, texts


class Endpoint:
    def __init__(self, url: str) -> None:
        self._client = boto3.client(
            "sagemaker-runtime",
            endpoint_url=url,
            region_name="eu-west-1",
            aws_access_key_id="id",
            aws_secret_access_key="secret",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def ask(self, body: object, content_type: str = "application/json"):
        content = body if isinstance(body, bytes) else json.dumps(body)
        answer = self._client.invoke_endpoint(EndpointName="openclip", ContentType=content_type, Body=content)
        return json.loads(answer["Body"].read())


@pytest.fixture
def endpoint(url: str) -> Endpoint:
    return Endpoint(url)


def test_texts(endpoint: Endpoint, unit: Reference):
    many = texts(2048)
    np.testing.assert_allclose(endpoint.ask({"inputs": many}), unit(text=many), atol=1e-5)


def test_images_and_labels(endpoint: Endpoint, unit: Reference, picture: str):
    image = (ROOT / "samples" / "cat.png").read_bytes()
    np.testing.assert_allclose(endpoint.ask(image, "image/png"), unit(image=picture), atol=1e-6)
    asked = {"inputs": picture, "parameters": {"candidate_labels": ["a red car", "a cat"]}}
    assert endpoint.ask(asked)[0]["label"] == "a cat"


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"inputs": ["a", ""]}, 400, r"\(invalid_input\).*inputs\[1\]"),
        ({"inputs": "aGk=", "parameters": {"candidate_labels": ["a", "a"]}}, 400, r"candidate_labels\[1\]"),
        ({"inputs": texts(2049)}, 413, "MAX_TEXTS"),
        ({"inputs": "a", "model": "other"}, 404, "not served here"),
    ],
)
def test_errors(endpoint: Endpoint, body: dict, status: int, told: str):
    with pytest.raises(ClientError, match=told) as caught:
        endpoint.ask(body)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_a_key_that_it_cannot_send_is_asked_for(closed: str):
    with pytest.raises(ClientError, match=r"\(unauthorized\).*API key"):
        Endpoint(closed).ask({"inputs": "a"})
