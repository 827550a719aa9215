from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from ...conftest import Encode
from ...support.server_process import ServerProcess


def unit_vectors(server: ServerProcess, **body):
    return np.array(server.http.post("/embeddings", json={**body, "normalize": True}).json()["embeddings"])


@pytest.fixture
def path(server: ServerProcess) -> str:
    return f"/v2/models/{server.http.get('/v1/models').json()['data'][0]['id']}"


def tensor(name: str, *data: str, shape: list[int] | None = None, **more) -> dict:
    return {"name": name, "datatype": "BYTES", "shape": shape or [len(data)], "data": list(data), **more}


def rows(answer, name: str) -> np.ndarray:
    [found] = [output for output in answer.json()["outputs"] if output["name"] == name]
    assert found["datatype"] == "FP32"
    return np.array(found["data"]).reshape(found["shape"])


def test_json(server: ServerProcess, path: str, images: list[str]):
    asked = {"id": "7", "inputs": [tensor("image", *images), tensor("text", "a cat", "a dog", shape=[2, 1])]}
    answer = server.http.post(f"{path}/infer", json=asked)
    assert answer.json()["id"] == "7"
    np.testing.assert_allclose(rows(answer, "image_embedding"), unit_vectors(server, image=images), atol=1e-6)
    np.testing.assert_allclose(rows(answer, "text_embedding"), unit_vectors(server, text=["a cat", "a dog"]), atol=1e-6)
    only = server.http.post(f"{path}/versions/1/infer", json={**asked, "outputs": [{"name": "text_embedding"}]})
    assert [output["name"] for output in only.json()["outputs"]] == ["text_embedding"]


def test_nested_data(server: ServerProcess, path: str):
    asked = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [2, 1], "data": [["a cat"], ["a dog"]]}]}
    answer = server.http.post(f"{path}/infer", json=asked)
    np.testing.assert_allclose(rows(answer, "text_embedding"), unit_vectors(server, text=["a cat", "a dog"]), atol=1e-6)


def packed(*contents: bytes) -> bytes:
    return b"".join(len(content).to_bytes(4, "little") + content for content in contents)


def binary(*tensors: tuple[str, bytes, int], **more) -> dict:
    """The body and headers of a request whose tensors follow its JSON."""
    inputs = [
        {"name": name, "datatype": "BYTES", "shape": [count], "parameters": {"binary_data_size": len(content)}}
        for name, content, count in tensors
    ]
    head = json.dumps({"inputs": inputs, **more}).encode()
    content = head + b"".join(content for _, content, _ in tensors)
    return {"content": content, "headers": {"Inference-Header-Content-Length": str(len(head))}}


def test_the_binary_extension(server: ServerProcess, path: str, photo: Encode):
    image = photo(size=(64, 48))
    tensors = [("text", packed(b"a cat", "é".encode()), 2), ("image", packed(image), 1)]
    answer = server.http.post(f"{path}/infer", **binary(*tensors, parameters={"binary_data_output": True}))
    length = int(answer.headers["inference-header-content-length"])
    told = json.loads(answer.content[:length])["outputs"]
    floats = np.frombuffer(answer.content[length:], "<f4")
    assert [output["parameters"]["binary_data_size"] // 4 for output in told] == [
        int(np.prod(output["shape"])) for output in told
    ]
    expected = unit_vectors(server, text=["a cat", "é"], image=base64.b64encode(image).decode())
    np.testing.assert_allclose(floats.reshape(3, -1), expected, atol=1e-6)


def test_one_output_in_bytes_and_one_in_json(server: ServerProcess, path: str, images: list[str]):
    outputs = [{"name": "image_embedding", "parameters": {"binary_data": True}}, {"name": "text_embedding"}]
    asked = {"inputs": [tensor("text", "a"), tensor("image", images[0])], "outputs": outputs}
    answer = server.http.post(f"{path}/infer", json=asked)
    length = int(answer.headers["inference-header-content-length"])
    image, text = json.loads(answer.content[:length])["outputs"]
    np.testing.assert_allclose([text["data"]], unit_vectors(server, text="a"), atol=1e-6)
    floats = np.frombuffer(answer.content[length:], "<f4")
    np.testing.assert_allclose([floats], unit_vectors(server, image=images[0]), atol=1e-6)
    assert image["shape"] == [1, len(floats)]


def test_metadata_and_health(server: ServerProcess, path: str):
    assert server.http.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert server.http.get("/v2/health/live").status_code == server.http.get("/v2/health/ready").status_code == 200
    told = server.http.get(path).json()
    assert [tensor["name"] for tensor in told["inputs"]] == ["text", "image"]
    assert server.http.get(f"{path}/ready").status_code == 200
    assert server.http.get(f"{path}/versions/1/ready").status_code == 200
    assert server.http.get(f"{path}/versions/2/ready").status_code == 404
    assert server.http.get("/v2/models/other/ready").status_code == 404
    assert server.http.get("/v2/models/other").status_code == 404


TEXT = packed(b"a", b"b")


def with_output(**parameters: object) -> dict:
    return {
        "json": {"inputs": [tensor("text", "a")], "outputs": [{"name": "text_embedding", "parameters": parameters}]}
    }


@pytest.mark.parametrize(
    ("asked", "status", "named"),
    [
        ({"json": {}}, 400, "inputs"),
        ({"json": {"inputs": []}}, 400, "inputs"),
        ({"json": {"inputs": [tensor("texts", "a")]}}, 400, "inputs[0].name"),
        ({"json": {"inputs": [tensor("text", "a"), tensor("text", "a")]}}, 400, "inputs[0].name"),
        ({"json": {"inputs": [tensor("text", "a", shape=[2])]}}, 400, "inputs[0].data: 1 elements"),
        ({"json": {"inputs": [tensor("text", "a", shape=[-1])]}}, 400, "inputs[0].shape"),
        ({"json": {"inputs": [tensor("text", "a", shape=[1 << 40, 1 << 40])]}}, 400, "inputs[0].shape"),
        ({"json": {"inputs": [tensor("text", "a", shape=["1"])]}}, 400, "inputs[0].shape"),
        ({"json": {"inputs": [tensor("text", shape=[0])]}}, 400, "inputs[0].shape"),
        ({"json": {"inputs": [tensor("text", "a", "b", shape=[1, 2])]}}, 400, "inputs[0].shape"),
        ({"json": {"inputs": [tensor("text", "a", "b", shape=[2, 1, 1])]}}, 400, "inputs[0].shape"),
        ({"json": {"inputs": [tensor("text", "a", "b", shape=[1])]}}, 400, "inputs[0].data: 2 elements"),
        ({"json": {"inputs": [{**tensor("text"), "data": [["a", "b"]], "shape": [2]}]}}, 400, "inputs[0].data"),
        ({"json": {"inputs": [{**tensor("text"), "data": [["a"], ["b"]], "shape": [2]}]}}, 400, "inputs[0].data[0]"),
        ({"json": {"inputs": [{**tensor("text"), "data": ["a", ["a", "b"]], "shape": [2, 1]}]}}, 400, "data[1]"),
        ({"json": {"inputs": [tensor("text", "a", parameters={"binary_data_size": 5})]}}, 400, "inputs[0]: give"),
        ({"json": {"inputs": [tensor("text", "a", parameters=[])]}}, 400, "inputs[0].parameters"),
        ({"json": {"inputs": [tensor("text", "a")], "parameters": []}}, 400, "parameters"),
        ({"json": {"inputs": [tensor("text", "a")], "parameters": {"binary_data_output": 1}}}, 400, "parameters"),
        ({"json": {"inputs": [{**tensor("text"), "data": ["a", 1], "shape": [2]}]}}, 400, "inputs[0].data[1]"),
        ({"json": {"inputs": [{**tensor("text", "a"), "datatype": "FP16"}]}}, 400, "inputs[0].datatype"),
        ({"json": {"inputs": [{**tensor("text", "a"), "datatype": "FP64"}]}}, 400, "'BYTES'"),
        ({"json": {"inputs": [tensor("image", "aGk=", "?")]}}, 400, "inputs[0][1]"),
        ({"json": {"inputs": [tensor("text", *["a"] * 9)]}}, 413, "MAX_TEXTS"),
        ({"json": {"inputs": [tensor("text", "a")], "outputs": [{"name": "other"}]}}, 400, "outputs[0].name"),
        ({"json": {"inputs": [tensor("text", "a")], "outputs": [{"name": "image_embedding"}]}}, 400, "outputs[0].name"),
        ({"json": {"inputs": [tensor("text", "a")], "outputs": [{"name": "text_embedding"}] * 2}}, 400, "outputs[0]"),
        ({"json": {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1]}]}}, 400, "binary_data_size"),
        (with_output(classification=3), 400, "outputs[0].parameters"),
        (with_output(shared_memory_region="a", shared_memory_byte_size=4), 400, "outputs[0].parameters"),
        (binary(("text", b"", 0)), 400, "inputs[0].shape"),
        (binary(("text", b"\x01\x00", 1)), 400, "inputs[0][0]"),
        (binary(("text", b"", 1)), 400, "inputs[0][0]"),
        ({**binary(("text", TEXT, 2)), "headers": {}}, 400, "not JSON"),
        ({**binary(("text", TEXT, 2)), "headers": {"Inference-Header-Content-Length": "0"}}, 400, "not JSON"),
        ({**binary(("text", TEXT, 2)), "headers": {"Inference-Header-Content-Length": "7"}}, 400, "not JSON"),
        ({**binary(("text", TEXT, 2)), "headers": {"Inference-Header-Content-Length": "1e2"}}, 400, "number of bytes"),
        ({**binary(("text", TEXT, 2)), "headers": {"Inference-Header-Content-Length": ""}}, 400, "number of bytes"),
        (binary(("text", TEXT, 3)), 400, "inputs[0][2]"),
        (binary(("text", TEXT, 1)), 400, "more bytes than"),
        (binary(("text", packed(b"a", b"\xff"), 2)), 400, "inputs[0][1]: not valid UTF-8"),
        (binary(("text", (1 << 31).to_bytes(4, "little"), 1)), 400, "inputs[0][0]"),
        (binary(("image", packed(b"hello"), 1)), 400, "inputs[0][0]"),
        (
            {**binary(("text", TEXT, 2)), "headers": {"Inference-Header-Content-Length": "99999"}},
            400,
            "number of bytes",
        ),
        ({**binary(("text", TEXT, 2)), "headers": {"Inference-Header-Content-Length": "-1"}}, 400, "number of bytes"),
        ({"content": b"[", "headers": {}}, 400, "not JSON"),
    ],
)
def test_errors_are_strings(server: ServerProcess, path: str, asked: dict, status: int, named: str):
    answer = server.http.post(f"{path}/infer", **asked)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert named in answer.json()["error"]


def test_bytes_that_no_tensor_has_are_refused(server: ServerProcess, path: str):
    asked = binary(("text", TEXT, 2))
    asked["content"] += b"more"
    assert "more bytes follow" in server.http.post(f"{path}/infer", **asked).json()["error"]
    short = binary(("text", TEXT, 2))
    short["content"] = short["content"][:-1]
    assert "the body ends" in server.http.post(f"{path}/infer", **short).json()["error"]
