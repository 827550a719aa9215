from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from openclip_api.server.shared.items import EXAMPLE_PNG

from ...support.server_process import FakeServer, ServerProcess


def vectors(server: ServerProcess, **body):
    return np.array(server.http.post("/embeddings", json=body).json()["embeddings"])


@pytest.mark.parametrize("given", ["a cat", ["a cat", "a dog"]])
def test_texts(server: ServerProcess, given):
    answer = server.http.post("/clip/embed_text", json={"text": given, "id": "7"}).json()
    np.testing.assert_allclose(answer["embeddings"], vectors(server, text=given), atol=1e-6)
    assert answer["time"] > 0
    assert answer["inference_id"] == "7"


def test_images(server: ServerProcess, images: list[str]):
    one = {"type": "base64", "value": images[0]}
    many = [one, {"type": "base64", "value": images[1]}]
    expected = vectors(server, image=images[:2])
    for given, count in ((one, 1), (many, 2), (images[0], 1)):
        answer = server.http.post("/clip/embed_image", json={"image": given}).json()
        np.testing.assert_allclose(answer["embeddings"], expected[:count], atol=1e-6)


def test_compare(server: ServerProcess, images: list[str]):
    image, labels = {"type": "base64", "value": images[0]}, ["a cat", "a dog"]
    all_vectors = vectors(server, image=images[0], text=labels)
    unit = all_vectors / np.linalg.norm(all_vectors, axis=1, keepdims=True)
    expected = unit[:2] @ unit[2]
    answer = server.http.post("/clip/compare", json={"subject": image, "prompt": labels}).json()
    np.testing.assert_allclose(answer["similarity"], expected, atol=1e-5)
    named = {"subject": image, "prompt": dict(zip("xy", labels, strict=True))}
    similarity = server.http.post("/clip/compare", json=named).json()["similarity"]
    np.testing.assert_allclose([similarity["x"], similarity["y"]], expected, atol=1e-5)
    by_any_name = {"subject": image, "prompt": {"value": "a cat", "type": "a dog"}}
    assert server.http.post("/clip/compare", json=by_any_name).json()["similarity"].keys() == {"value", "type"}
    other_way = {"subject": "a cat", "subject_type": "text", "prompt": image, "prompt_type": "image"}
    similarity = server.http.post("/clip/compare", json=other_way).json()["similarity"]
    np.testing.assert_allclose(similarity, expected[:1], atol=1e-5)


@pytest.mark.parametrize(
    ("path", "body", "status", "named"),
    [
        ("embed_text", {}, 400, "text"),
        ("embed_text", {"text": ["a", 1]}, 400, "text[1]"),
        ("embed_text", {"text": ["a"] * 9}, 413, "MAX_TEXTS"),
        ("embed_text", {"text": "a", "clip_version_id": "ViT-B-16"}, 404, "not served"),
        ("embed_image", {"image": []}, 400, "image"),
        ("embed_image", {"image": ["aGk=", {"type": "base64"}]}, 400, "image[1]"),
        ("embed_image", {"image": {"type": {}, "value": EXAMPLE_PNG}}, 400, "image.type"),
        ("embed_image", {"image": {"type": "numpy", "value": EXAMPLE_PNG}}, 400, "image.type"),
        ("embed_image", {"image": {"type": "url", "value": EXAMPLE_PNG}}, 400, "image.value"),
        ("embed_image", {"image": {"type": "base64", "value": "http://a/b.png"}}, 400, "image.value"),
        ("embed_image", {"image": ""}, 400, "image"),
        ("embed_image", {"image": ["aGk="] * 9}, 413, "MAX_ITEMS"),
        ("compare", {"subject": "aGk=", "prompt": []}, 400, "prompt"),
        ("compare", {"subject": "a", "subject_type": "text", "prompt": ["a", 1]}, 400, "prompt[1]"),
        ("compare", {"subject": "a", "subject_type": "video", "prompt": "a"}, 400, "subject_type"),
        ("compare", {"subject": ["a", "b"], "subject_type": "text", "prompt": "a"}, 400, "subject: expected one"),
        ("compare", {"subject": {"value": "a"}, "subject_type": "text", "prompt": "a"}, 400, "subject"),
        ("compare", {"subject": "a", "subject_type": "text", "prompt": {}}, 400, "prompt"),
        ("compare", {"subject": "a", "subject_type": "text", "prompt": {"x": 1}}, 400, "prompt"),
    ],
)
def test_errors_have_a_message(server: ServerProcess, path: str, body: dict, status: int, named: str):
    answer = server.http.post(f"/clip/{path}", json=body)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["message"]
    assert named in answer.json()["message"]


@pytest.fixture(scope="module")
def closed() -> Iterator[FakeServer]:
    with FakeServer(API_KEY="right, schlüssel") as process:
        yield process
        assert "right" not in process.output


@pytest.mark.process
@pytest.mark.parametrize(
    ("query", "header", "status"),
    [
        ("?api_key=right", None, 200),
        ("?api_key=schl%C3%BCssel", None, 200),
        ("?api_key=wrong", None, 401),
        ("?api_key=wrong&api_key=right", None, 401),
        ("?api_key=right", "Bearer wrong", 401),
        ("", "Bearer right", 200),
        ("", None, 401),
    ],
)
def test_a_key_may_stand_in_the_url(closed: FakeServer, query: str, header: str | None, status: int):
    headers = {"Authorization": header} if header else {}
    answer = closed.http.post(f"/clip/embed_text{query}", json={"text": "a"}, headers=headers)
    assert answer.status_code == status
    assert closed.http.post(f"/embeddings{query}", json={"text": "a"}).status_code == 401


@pytest.mark.process
@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("embed_text", {"text": "a", "api_key": "right"}, 200),
        ("embed_text", {"text": "a", "api_key": "schlüssel"}, 200),
        ("embed_text", {"text": "a", "api_key": "wrong"}, 401),
        ("embed_text", {"text": "a", "api_key": ["right"]}, 401),
        ("embed_text", {"text": "a", "api_key": None}, 401),
        ("embed_text", {"text": 1}, 401),
        ("embed_text", ["right"], 401),
        ("embed_image", {"image": "aGk="}, 401),
        ("compare", {"subject": "a"}, 401),
        ("other", {"api_key": "right"}, 401),
    ],
)
def test_or_in_the_body(closed: FakeServer, path: str, body: object, status: int):
    answer = closed.http.post(f"/clip/{path}", json=body)
    assert answer.status_code == status
    if status == 401:
        assert "API key" in answer.json()["message"]
        assert answer.headers["www-authenticate"] == "Bearer"
    wrong = closed.http.post(f"/clip/{path}", json=body, headers={"Authorization": "Bearer wrong"})
    assert wrong.status_code == 401
    assert closed.http.post(f"/clip/{path}", content=b"?").status_code == 401
    assert closed.http.post("/embeddings", json={"text": "a", "api_key": "right"}).status_code == 401
