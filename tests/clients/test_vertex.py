"""Google's client for Vertex AI over REST, sent straight to a container whose predict route is the endpoint's path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud.aiplatform_v1.services.prediction_service import PredictionServiceClient
from google.cloud.aiplatform_v1.services.prediction_service.transports import PredictionServiceRestTransport
from google.oauth2.credentials import Credentials
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Value

from ..support.server_process import ServerProcess
from .conftest import ROOT, Reference, texts

ENDPOINT = "projects/1/locations/europe-west4/endpoints/2"
ROUTES = {"AIP_PREDICT_ROUTE": f"/v1/{ENDPOINT}:predict", "AIP_HEALTH_ROUTE": f"/v1/{ENDPOINT}"}


@pytest.fixture(scope="module")
def container() -> Iterator[str]:
    """A server as Vertex AI starts it, which wants the key "right"."""
    python = ROOT / ".venv" / "bin" / "python"
    command = (str(python), "-m", "openclip_api", "serve")
    with ServerProcess(*command, MODEL_NAME="emoji", API_KEY="right", **ROUTES) as process:
        assert process.http.get(ROUTES["AIP_HEALTH_ROUTE"]).status_code == 200
        yield str(process.http.base_url).rstrip("/")


class Endpoint:
    def __init__(self, url: str, key: str | None) -> None:
        credentials = Credentials(token=key) if key else AnonymousCredentials()
        transport = PredictionServiceRestTransport(
            host=url.removeprefix("http://"), url_scheme="http", credentials=credentials
        )
        self._client = PredictionServiceClient(transport=transport)

    def ask(self, instances: Sequence[object], **parameters: object) -> list[list[float]]:
        values = [json_format.ParseDict(instance, Value()) for instance in instances]
        options = json_format.ParseDict(parameters, Value())
        answer = self._client.predict(endpoint=ENDPOINT, instances=values, parameters=options, retry=None)
        return [[float(number) for number in row] for row in answer.predictions]


@pytest.fixture
def endpoint(container: str) -> Endpoint:
    return Endpoint(container, "right")


def test_texts(endpoint: Endpoint, unit: Reference):
    many = texts(2048)
    cosines = (np.array(endpoint.ask(many)) * unit(text=many)).sum(axis=1)
    assert cosines.min() > 0.999  # of another process, which may compute in bf16


def test_images_and_parameters(endpoint: Endpoint, unit: Reference, picture: str):
    rows = endpoint.ask([{"image": {"bytesBase64Encoded": picture}}, {"text": "a cat"}])
    np.testing.assert_allclose(rows[:1], unit(image=picture), atol=1e-2)
    np.testing.assert_allclose(rows[1:], unit(text="a cat"), atol=1e-2)
    assert len(endpoint.ask(["a cat"], dimension=4)[0]) == 4


@pytest.mark.parametrize(
    ("instances", "error", "told"),
    [
        (["a", 1], exceptions.BadRequest, r"instances\[1\]"),
        (["a", {"image": "aGk="}], exceptions.BadRequest, r"instances\[1\]\.image"),
        (texts(2049), exceptions.GoogleAPICallError, "MAX_TEXTS"),
    ],
)
def test_errors(endpoint: Endpoint, instances: list, error: type, told: str):
    with pytest.raises(error, match=told):
        endpoint.ask(instances)


@pytest.mark.parametrize("key", ["wrong", None])
def test_another_key_is_refused(container: str, key: str | None):
    with pytest.raises(GoogleAuthError):  # it takes the 401 for an old token, and cannot get a new one
        Endpoint(container, key).ask(["a"])
