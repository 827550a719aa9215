from __future__ import annotations

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from .conftest import ROOT, Reference, texts


@pytest.fixture
def client(url: str) -> InferenceServerClient:
    return InferenceServerClient(url.removeprefix("http://"))


def given(name: str, values: list[str] | list[bytes], binary: bool = True) -> InferInput:
    tensor = InferInput(name, [len(values)], "BYTES")
    tensor.set_data_from_numpy(np.array(values, dtype=object), binary_data=binary)
    return tensor


@pytest.mark.parametrize("binary", [True, False])
def test_texts(client: InferenceServerClient, unit: Reference, binary: bool):
    many = texts(2048)
    outputs = [InferRequestedOutput("text_embedding", binary_data=binary)]
    answer = client.infer("emoji", [given("text", many, binary)], outputs=outputs, request_id="7")
    np.testing.assert_allclose(answer.as_numpy("text_embedding"), unit(text=many), atol=1e-5)
    assert answer.get_response()["id"] == "7"


def test_images_and_texts(client: InferenceServerClient, unit: Reference, picture: str):
    image = (ROOT / "samples" / "cat.png").read_bytes()
    answer = client.infer("emoji", [given("image", [image]), given("text", ["a cat"])])
    np.testing.assert_allclose(answer.as_numpy("image_embedding"), unit(image=picture), atol=1e-6)
    np.testing.assert_allclose(answer.as_numpy("text_embedding"), unit(text="a cat"), atol=1e-6)
    in_json = client.infer("emoji", [given("image", [picture], binary=False)], model_version="1")
    np.testing.assert_allclose(in_json.as_numpy("image_embedding"), unit(image=picture), atol=1e-6)


def test_metadata_and_health(client: InferenceServerClient):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("emoji")
    assert client.is_model_ready("emoji", "1")
    assert not client.is_model_ready("other")
    assert client.get_server_metadata()["name"] == "openclip-api"
    assert client.get_model_metadata("emoji")["outputs"][0]["shape"] == [-1, 256]


def test_errors(client: InferenceServerClient):
    with pytest.raises(InferenceServerException, match=r"inputs\[0\]\[1\]: not a JPEG"):
        client.infer("emoji", [given("image", [(ROOT / "samples" / "cat.png").read_bytes(), b"none"])])
    with pytest.raises(InferenceServerException, match="MAX_TEXTS"):
        client.infer("emoji", [given("text", texts(2049))])
    with pytest.raises(InferenceServerException, match="not served here"):
        client.infer("other", [given("text", ["a"])])


def test_a_key(closed: str):
    client = InferenceServerClient(closed.removeprefix("http://"))
    assert client.infer("emoji", [given("text", ["a"])], headers={"Authorization": "Bearer right"})
    with pytest.raises(InferenceServerException, match="API key"):
        client.infer("emoji", [given("text", ["a"])])
