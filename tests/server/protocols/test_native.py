"""POST /embeddings against the real process: what the original answers, and what goes beyond it."""

from __future__ import annotations

import base64
import gzip
import json
import textwrap
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest

import openclip_api

from ...conftest import Encode
from ...support.server_process import ServerProcess


def ask(server: ServerProcess, path: str = "/embeddings", **body: Any) -> dict[str, Any]:
    response = server.http.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def vectors(server: ServerProcess, **body: Any) -> np.ndarray:
    return np.array(ask(server, **body)["embeddings"], np.float32)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture(scope="module")
def embedder(tiny):
    embedder = openclip_api.load(f"local-dir:{tiny}", precision="fp32")
    yield embedder
    embedder.close()


def test_text_comes_before_image_as_in_the_original(server, embedder, photo: Encode):
    jpeg = photo()
    answer = ask(server, image=b64(jpeg), text="red sofa")
    assert list(answer) == ["model", "device", "embeddings", "duration"]
    assert answer["model"] == "OpenCLIP-tiny-clip"
    assert answer["device"] == "cpu"
    assert 0 < answer["duration"] < 60
    expected = np.concatenate([embedder.embed_texts(["red sofa"]), embedder.embed_images([jpeg])])
    np.testing.assert_allclose(np.array(answer["embeddings"]), expected, rtol=1e-5, atol=1e-5)


def test_lists_keep_their_order(server, photo: Encode):
    images = [photo("astronaut"), photo("coffee", "PNG"), photo("cat", "WEBP")]
    texts = ["red sofa", "a cat", "red sofa"]
    together = vectors(server, text=texts, image=[b64(image) for image in images])
    singly = [vectors(server, text=text)[0] for text in texts] + [vectors(server, image=b64(i))[0] for i in images]
    np.testing.assert_allclose(together, singly, rtol=1e-4, atol=1e-5)
    assert not np.allclose(together[0], together[1])
    np.testing.assert_array_equal(together[0], together[2])


def test_not_normalised_unless_asked(server):
    raw, unit = vectors(server, text="red sofa"), vectors(server, text="red sofa", normalize=True)
    assert abs(np.linalg.norm(raw) - 1) > 0.1
    assert np.linalg.norm(unit) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(raw / np.linalg.norm(raw), unit, atol=1e-6)


def test_the_original_s_later_name(server):
    assert ask(server, "/clip-embed", text="red sofa")["embeddings"] == ask(server, text="red sofa")["embeddings"]


def test_null_counts_as_not_given_and_unknown_keys_are_ignored(server):
    assert len(ask(server, text="red sofa", image=None, colour="red")["embeddings"]) == 1


def base64_forms(jpeg: bytes) -> dict[str, str]:
    standard = b64(jpeg)
    url_safe = base64.urlsafe_b64encode(jpeg).decode()
    return {
        "unpadded": standard.rstrip("="),
        "url-safe": url_safe,
        "url-safe unpadded": url_safe.rstrip("="),
        "MIME lines": "\r\n".join(textwrap.wrap(standard, 76)),
        "data URI": f"data:image/jpeg;base64,{standard}",
        "data URI with a parameter": f"data:image/png;charset=utf-8;base64,{standard}",
        "data URI in capitals": f"DATA:IMAGE/JPEG;BASE64,{standard}",
        "data URI without a type": f"data:;base64,{standard}",
    }


@pytest.mark.parametrize("form", base64_forms(b""))
def test_every_form_of_base64_is_the_same_image(server, photo: Encode, form: str):
    # sizes whose base64 needs one, two and no padding
    for size in [(40, 30), (41, 30), (42, 30), (43, 30)]:
        jpeg = photo("coffee", size=size)
        np.testing.assert_array_equal(vectors(server, image=base64_forms(jpeg)[form]), vectors(server, image=b64(jpeg)))


def test_answers_carry_fingerprint_request_id_and_timing(server):
    response = server.http.post("/embeddings", json={"text": "red sofa"}, headers={"X-Request-Id": "mine-7"})
    assert response.headers["x-request-id"] == "mine-7"
    assert response.headers["x-model-fingerprint"] == server.http.get("/info").json()["fingerprint"]
    assert {part.split(";")[0] for part in response.headers["server-timing"].split(", ")} == {
        "decode",
        "queue",
        "compute",
    }


def test_a_hostile_request_id_is_replaced(server):
    response = server.http.post("/embeddings", json={"text": "x"}, headers={"X-Request-Id": "a b;<script>"})
    assert response.headers["x-request-id"].isalnum()


def test_many_clients_at_once_each_get_their_own_vector(server, photo: Encode):
    texts = [f"thing number {i}" for i in range(40)]
    alone = [vectors(server, text=text)[0] for text in texts]
    with ThreadPoolExecutor(8) as clients:
        together = list(clients.map(lambda text: vectors(server, text=text)[0], texts))
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


# --- bad input: a clear 4xx with the field, never a 500, never an echo ---

CANARY = "SECRET-CANARY-7f3a"

BAD_JSON = {
    "empty body": b"",
    "cut": b'{"text": "a',
    "two documents": b'{"text":"a"} {"text":"b"}',
    "not UTF-8": b'{"text": "\xff"}',
    "UTF-16": '{"text": "a"}'.encode("utf-16"),
    "single quotes": b"{'text': 'a'}",
    "100,000 brackets": b"[" * 100_000,
    "100,000 braces": b'{"a":' * 100_000,
}

BAD_FIELDS = {
    "neither": ({}, None),
    "both null": ({"text": None, "image": None}, None),
    "only unknown keys": ({"texts": CANARY}, None),
    "number for text": ({"text": 3}, "text"),
    "boolean for text": ({"text": True}, "text"),
    "object for text": ({"text": {"a": CANARY}}, "text"),
    "empty texts": ({"text": []}, "text"),
    "empty images": ({"image": []}, "image"),
    "null in texts": ({"text": ["a", None]}, "text[1]"),
    "list in texts": ({"text": ["a", ["b"]]}, "text[1]"),
    "token ids": ({"text": [1, 2]}, "text[0]"),
    "string for normalize": ({"text": "a", "normalize": "false"}, "normalize"),
    "number for normalize": ({"text": "a", "normalize": 1}, "normalize"),
    "not base64": ({"image": f"{CANARY}!"}, "image"),
    "second not base64": ({"image": ["aGk=", "§§"]}, "image[1]"),
    "base64 of length 1": ({"image": "A"}, "image"),
    "space for plus": ({"image": "aGVs bG8="}, "image"),
    "full-width letters": ({"image": "ＡＡＡＡ"}, "image"),
    "padding in the middle": ({"image": "aGk=aGk="}, "image"),
    "empty image": ({"image": ""}, "image"),
    "empty data URI": ({"image": "data:,"}, "image"),
    "data URI without data": ({"image": "data:image/png;base64,"}, "image"),
    "data URI without a comma": ({"image": "data:image/png;base64"}, "image"),
    "data URI of HTML": ({"image": "data:text/html;base64,aGk="}, "image"),
    "data URI, percent-encoded": ({"image": "data:image/png,%89PNG"}, "image"),
    "long data URI header": ({"image": "data:image/png;x=" + "a" * 100_000 + ";base64,aGk="}, "image"),
    "URL": ({"image": "http://example.com/a.jpg"}, "image"),
    "path": ({"image": "/etc/passwd"}, "image"),
    "not an image": ({"image": b64(CANARY.encode())}, "image"),
    "SVG": ({"image": b64(b"<svg xmlns='http://www.w3.org/2000/svg'/>")}, "image"),
}


def assert_clear_error(response: httpx.Response, status: int, param: str | None) -> None:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"type", "message", "param"}
    assert error["param"] == param
    assert error["message"]
    assert CANARY not in response.text
    assert len(response.content) < 1000


@pytest.mark.parametrize("name", BAD_JSON)
def test_what_is_no_json_is_400(server, name: str):
    assert_clear_error(server.http.post("/embeddings", content=BAD_JSON[name]), 400, "body")


@pytest.mark.parametrize("body", ["[]", '"x"', "null", "1"])
def test_what_is_no_object_is_422(server, body: str):
    assert_clear_error(server.http.post("/embeddings", content=body), 422, "body")


@pytest.mark.parametrize("name", BAD_FIELDS)
def test_a_wrong_field_is_422_and_named(server, name: str):
    body, param = BAD_FIELDS[name]
    assert_clear_error(server.http.post("/embeddings", json=body), 422, param)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_truncated_image_is_refused_not_half_embedded(server, photo: Encode, format: str, kept: float):
    whole = photo("coffee", format)
    assert_clear_error(
        server.http.post("/embeddings", json={"image": b64(whole[: int(len(whole) * kept)])}), 422, "image"
    )


def test_one_bad_image_of_several_is_named(server, photo: Encode):
    good = b64(photo())
    response = server.http.post("/embeddings", json={"text": "a", "image": [good, good, b64(b"no image")]})
    assert_clear_error(response, 422, "image[2]")


def test_too_many_pixels_are_told_from_the_header(server, photo: Encode):
    assert_clear_error(server.http.post("/embeddings", json={"image": b64(photo(size=(1500, 1500)))}), 413, "image")


def test_a_long_thin_image_is_refused(server, photo: Encode):
    assert_clear_error(server.http.post("/embeddings", json={"image": b64(photo(size=(1, 50_000)))}), 422, "image")


def test_too_many_items_are_413(server):
    assert_clear_error(server.http.post("/embeddings", json={"text": ["a"] * 9}), 413, None)


def test_a_text_beyond_all_use_is_413(server):
    assert_clear_error(server.http.post("/embeddings", json={"text": ["a", "x" * 100_001]}), 413, "text[1]")


def test_a_long_text_is_cut_at_the_context_length(server):
    words = " ".join(["word"] * 1000)
    np.testing.assert_array_equal(vectors(server, text=words), vectors(server, text=words + " and more"))


@pytest.mark.process
def test_a_large_body_is_refused_before_it_is_read(server):
    read = 0

    def body():
        nonlocal read
        for _ in range(1000):
            read += 100_000
            yield b" " * 100_000

    # the server answers, and closes a little later: a client that insists on sending may find the connection gone
    try:
        response = server.http.post("/embeddings", content=body())
        assert_clear_error(response, 413, "body")
    except (httpx.WriteError, httpx.RemoteProtocolError):
        pass
    assert read < 90_000_000  # the answer is out; what still comes is thrown away, up to 16 times MAX_BODY_MB
    response = server.http.post("/embeddings", content=b" " * 8_000_000)
    assert_clear_error(response, 413, "body")


def test_compressed_and_multipart_bodies_are_415(server):
    packed = gzip.compress(json.dumps({"text": "a"}).encode())
    response = server.http.post("/embeddings", content=packed, headers={"Content-Encoding": "gzip"})
    assert_clear_error(response, 415, None)
    assert_clear_error(server.http.post("/classify", files={"image": b"x"}), 415, None)


@pytest.mark.parametrize("type", ["application/json", "text/plain", "application/x-www-form-urlencoded", None])
def test_json_is_json_whatever_a_client_calls_it(server, type: str | None):
    headers = {"Content-Type": type} if type else {}
    assert server.http.post("/embeddings", content=b'{"text": "a"}', headers=headers).status_code == 200


@pytest.mark.parametrize(
    "text",
    ["", " ", "\0", "a\0b", "‮abc‬", "😀" * 300, "e" + "́" * 3000, "x" * 50_000, "<end_of_text>", "a\r\n\x1b[31mb"],
)
def test_odd_texts_are_embedded(server, text: str):
    vector = vectors(server, text=text)
    assert np.isfinite(vector).all()
    assert np.abs(vector).max() > 0


def test_unknown_routes_and_methods_answer_in_the_same_shape(server):
    assert_clear_error(server.http.get("/nope"), 404, None)
    response = server.http.get("/embeddings")
    assert_clear_error(response, 405, None)
    assert response.headers["allow"] == "POST"


@pytest.mark.process
def test_after_all_this_the_same_process_gives_the_same_vector(server, embedder):
    assert server.process.poll() is None
    np.testing.assert_allclose(
        vectors(server, text="red sofa"), embedder.embed_texts(["red sofa"]), rtol=1e-5, atol=1e-5
    )
