"""POST /search and thumbnails, on a running server."""

from __future__ import annotations

import base64
import io
import json
import math
import shutil
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from openclip_api.runtime.embedder import Embedder
from openclip_api.search.store import Store
from openclip_api.server.shared.answer import json_response
from openclip_api.server.store import LazyStore, PageWanted

from ..golden import GOLDEN
from ..support.server_process import FakeServer, ServerProcess
from .conftest import SAMPLES

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    shutil.copytree(SAMPLES, folder / "samples")
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ServerProcess]:
    settings = {"MODEL_NAME": "emoji", "PRECISION": "fp32", "STORE": folder / "s.lance"}
    with ServerProcess(**settings) as server:
        yield server
        assert server.stop() == 0
        assert "Traceback" not in server.output


@pytest.fixture(autouse=True)
def _indexed(folder: Path, index) -> None:
    if not (folder / "s.lance").exists():  # after the server has started: it need not be there before
        index(folder / "samples", store=folder / "s.lance")


def test_a_text_an_image_and_a_vector_find_the_same(server: ServerProcess, embedder: Embedder):
    picture = (SAMPLES / "cat.png").read_bytes()
    asked = [
        {"image": base64.b64encode(picture).decode(), "k": 3},
        {"vector": (1e30 * embedder.embed_images([picture])[0].astype(float)).tolist(), "k": 3},
    ]
    by_image, by_vector = (
        server.http.post("/search", json=body).raise_for_status().json()["results"] for body in asked
    )
    assert [row["id"] for row in by_image] == [row["id"] for row in by_vector]
    assert by_image[0]["id"] == "cat.png"
    assert by_image[0]["score"] == pytest.approx(1, abs=1e-5)
    columns = {"id", "name", "folder", "has_file", "bytes", "modified", "taken", "width", "height", "score"}
    assert set(by_image[0]) == columns  # where the files lie is nobody's business
    assert (by_image[0]["name"], by_image[0]["folder"], by_image[0]["has_file"]) == ("cat.png", "samples", True)
    answer = server.http.post("/search", json={"text": "a red car", "filter": {"id": {"ne": "automobile.png"}}})
    assert len(answer.json()["results"]) == 10
    assert "automobile.png" not in {row["id"] for row in answer.json()["results"]}
    assert answer.headers["x-model-fingerprint"] == embedder.info.fingerprint


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 422, "body"),
        ({"text": "a", "vector": [1]}, 422, "body"),
        ({"text": "a", "k": 0}, 422, "k"),
        ({"text": "a", "k": -1}, 422, "k"),
        ({"text": "a", "k": 10**9}, 422, "k"),
        ({"text": "a", "k": 1.5}, 422, "k"),
        ({"text": "a", "filter": "' OR 1=1 --"}, 422, "filter"),
        ({"text": "a", "filter": {"id": {"or": 1}}}, 422, "filter"),
        ({"text": "a", "filter": {"x' OR '1'='1": 1}}, 422, "filter"),
        ({"vector": [1, 2, 3]}, 422, "vector"),
        ({"vector": []}, 422, "vector"),
        ({"vector": [0] * 256}, 422, "vector"),
        ({"vector": ["a"] * 256}, 422, "vector[0]"),
        ({"image": "no base64!"}, 422, "image"),
        ({"text": 7}, 422, "text"),
        ({"text": ""}, 422, "text"),
        ({"text": " \n"}, 422, "text"),
        ({"id": "nobody"}, 422, "id"),
        ({"id": 7}, 422, "id"),
        ({"text": "a", "id": "cat.png"}, 422, "body"),
        ({"text": "a", "parts": [{"text": "a"}]}, 422, "body"),
        ({"parts": []}, 422, "parts"),
        ({"parts": [{"text": "a"}] * 17}, 422, "parts"),
        ({"parts": [{}]}, 422, "parts[0]"),
        ({"parts": [{"text": "a"}, {"text": "b", "image": "c"}]}, 422, "parts[1]"),
        ({"parts": [{"text": "a"}, {"text": "b", "weight": 0}]}, 422, "parts[1].weight"),
        ({"parts": [{"text": "a"}, {"text": "b", "weight": 101}]}, 422, "parts[1].weight"),
        ({"parts": [{"text": "a"}, {"image": "no base64!"}]}, 422, "parts[1].image"),
        ({"parts": [{"text": "a"}, {"vector": [1]}]}, 422, "parts[1].vector"),
        ({"parts": [{"text": "a"}, {"id": "nobody"}]}, 422, "parts[1].id"),
        ({"parts": [{"text": "a"}, {"text": "a", "weight": -1}]}, 422, "parts"),
        ({"text": "a", "offset": -1}, 422, "offset"),
        ({"text": "a", "offset": 991}, 422, "offset"),
        ({"text": "a", "min_score": 1.5}, 422, "min_score"),
        ({"text": "a", "min_score": "0"}, 422, "min_score"),
        ({"text": "a", "under": ""}, 422, "under"),
        ({"text": "a", "under": "/etc"}, 422, "under"),
        ({"text": "a", "under": "../.."}, 422, "under"),
        ({"text": "a", "filter": {"taken": {"ge": "soon"}}}, 422, "filter"),
        ({"text": "a", "filter": {"taken": 2021}}, 422, "filter"),
        ({"text": "a", "filter": {"root": "/"}}, 422, "filter"),
        ({"text": "a", "fold": 1}, 422, "fold"),
    ],
)
def test_bad_input_is_refused_by_name(server: ServerProcess, body: dict, status: int, param: str):
    answer = server.http.post("/search", json=body)
    assert answer.status_code == status
    assert answer.json()["error"]["param"] == param


def test_a_vector_that_is_not_finite_is_refused(server: ServerProcess):
    body = b'{"vector": [' + b",".join([b"NaN"] + [b"1"] * 255) + b"]}"
    answer = server.http.post("/search", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)


def test_a_filter_of_any_value_has_an_answer(server: ServerProcess):
    """No value makes the server say that the store cannot be read."""
    values = ["160", "160.0", "160.5", "2147483648", "-1e308", "1e400", "9" * 400, "true", "null", "[]", "[160.5, 7]",
              '"160"', '""', '"\\ud800"', '"\\u0000"', "NaN", "Infinity", "{}", "[null]", '{"like": 1}', '["a"]',
              "[[" * 90 + "]]" * 90, '"' + "a" * 1_000_000 + '"', "[" + ",".join(["1"] * 1001) + "]",
              '{"lt": 2147483648}', '{"ne": -1.5}', '{"eq": null}', '{"ge": 160.0, "lt": 160.5}']  # fmt: skip
    vector = [1] + [0] * 255
    statuses = set()
    for column in ("width", "id", "nope"):
        for value in values:
            body = f'{{"vector": {vector}, "filter": {{"{column}": {value}}}}}'
            answer = server.http.post("/search", content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code in (200, 400, 422), (column, value[:40], answer.text[:200])
            if answer.status_code == 422:
                assert "\n" not in answer.json()["error"]["message"]
            statuses.add((column, answer.status_code))
    assert {("width", 200), ("width", 422), ("id", 200), ("id", 422), ("nope", 422)} <= statuses


def test_thumbnails(server: ServerProcess, folder: Path):
    answer = server.http.get("/items/unseen%2Ffox.png/thumbnail")
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(answer.content)).size == (160, 160)
    assert server.http.get("/items/unseen/fox.png/thumbnail").content == answer.content
    (folder / "samples" / "guitar.png").unlink(missing_ok=True)
    for id in ("guitar.png", "nope", "..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd", "' OR '1'='1"):
        missing = server.http.get(f"/items/{id}/thumbnail")
        assert (missing.status_code, missing.json()["error"]["type"]) == (404, "not_found")


def test_thumbnails_of_formats_that_the_server_does_not_read(server: ServerProcess, folder: Path, index):
    """The files are the owner's: what was indexed is shown, decoded in a process of its own, and upright."""
    (folder / "phone").mkdir()
    shutil.copy(GOLDEN / "formats" / "turned_by_both.heic", folder / "phone" / "photo.heic")
    index(folder / "phone", store=folder / "s.lance")
    answer = server.http.get("/items/photo.heic/thumbnail")
    index("--forget", folder / "phone", store=folder / "s.lance")  # other tests count the store's rows
    assert answer.status_code == 200
    assert Image.open(io.BytesIO(answer.content)).size == (97, 61)


def test_the_facts_of_the_store(server: ServerProcess, embedder: Embedder):
    facts = server.http.get("/search").raise_for_status().json()
    assert facts["fingerprint"] == embedder.info.fingerprint
    assert (facts["rows"], facts["roots"]) == (36, ["samples"])
    kinds = {"id": "text", "path": "text", "width": "number", "bytes": "number", "taken": "time", "modified": "time"}
    assert kinds.items() <= facts["columns"].items()
    assert not {"root", "vector", "digest"} & facts["columns"].keys()


def test_pages_minus_under_and_like(server: ServerProcess):
    def ids(**body: object) -> list[str]:
        return [row["id"] for row in server.http.post("/search", json=body).raise_for_status().json()["results"]]

    everything = ids(text="a car", k=36)
    pages = [server.http.post("/search", json={"text": "a car", "k": 9, "offset": 9 * n}).json() for n in range(4)]
    assert [row["id"] for page in pages for row in page["results"]] == everything
    assert [page["more"] for page in pages] == [True, True, True, False]
    scores = [row["score"] for row in server.http.post("/search", json={"text": "a car", "k": 36}).json()["results"]]
    assert ids(text="a car", min_score=scores[3]) == everything[:4]
    assert set(ids(text="a car", under="unseen", k=100)) == {id for id in everything if id.startswith("unseen/")}
    assert ids(text="a car", under="samples/unseen") == ids(text="a car", under="unseen")
    assert ids(id="pizza.png", k=1) == ["pizza.png"]
    assert ids(parts=[{"text": "a car"}]) == everything[:10]
    animals = ids(text="an animal", k=36)
    signed = ids(parts=[{"text": "an animal"}, {"text": "a cat", "weight": -0.5}, {"id": "elephant.png"}], k=36)
    assert signed[0] == "elephant.png"
    assert signed.index("cat.png") > animals.index("cat.png")
    assert len(ids(text="a", filter={"modified": {"ge": "2020", "lt": "2100-01-01T00:00Z"}}, k=100)) == 36


def test_full_size(server: ServerProcess):
    for path in ("unseen%2Ffox.png", "unseen/fox.png"):
        answer = server.http.get(f"/items/{path}/file")
        assert answer.content == (SAMPLES / "unseen" / "fox.png").read_bytes()
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-disposition"] == "inline; filename*=UTF-8''fox.png"
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    for id in ("nope", "..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd", "' OR '1'='1", "s.lance"):
        missing = server.http.get(f"/items/{id}/file")
        assert (missing.status_code, missing.json()["error"]["type"]) == (404, "not_found")
    other = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    for path in ("/items/cat.png/file", "/items/cat.png/thumbnail", "/search"):
        assert server.http.get(path, headers=other).status_code == 403


def test_what_is_added_meanwhile_is_found(server: ServerProcess, folder: Path, index):
    (folder / "more").mkdir()
    shutil.copy(SAMPLES / "cat.png", folder / "more" / "new.png")
    index(folder / "more", store=folder / "s.lance")
    image = base64.b64encode((SAMPLES / "cat.png").read_bytes()).decode()
    results = server.http.post("/search", json={"image": image, "k": 2}).json()["results"]
    assert {row["id"] for row in results} == {"cat.png", "new.png"}
    index("--delete", "new.png", store=folder / "s.lance")
    results = server.http.post("/search", json={"image": image, "k": 2}).json()["results"]
    assert "new.png" not in {row["id"] for row in results}


def test_without_a_store_and_with_a_broken_one_the_rest_is_served(tmp_path: Path, folder: Path):
    with FakeServer() as server:
        answer = server.http.post("/search", json={"text": "a"})
        assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found")
        assert server.http.get("/items/a/thumbnail").status_code == 404
    shutil.copytree(folder / "s.lance", tmp_path / "other.lance")
    with FakeServer(STORE=tmp_path / "other.lance") as server:
        answer = server.http.post("/search", json={"text": "a"})
        assert (answer.status_code, answer.json()["error"]["type"]) == (412, "model_mismatch")
        assert "OpenCLIP-emoji" in answer.json()["error"]["message"]
        shutil.rmtree(tmp_path / "other.lance" / "data")
        vector = {"vector": np.eye(256)[0].tolist()}
        answer = server.http.post("/search", json=vector)
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "store_unavailable")
        shutil.rmtree(tmp_path / "other.lance")
        assert server.http.post("/search", json=vector).status_code == 503
        assert server.http.post("/embeddings", json={"text": "a"}).status_code == 200
        assert "Traceback" not in server.output


COLUMNS = {
    "bytes": (pa.array([b"\xff", None]), "/w=="),
    "decimal": (pa.array([Decimal("1.25"), None]), "1.25"),
    "duration": (pa.array([90, None], pa.duration("s")), "0:01:30"),
    "nanoseconds": (pa.array([1, None], pa.timestamp("ns")), "1970-01-01T00:00:00"),
    "date": (pa.array([date(2020, 1, 2), None]), "2020-01-02"),
    "struct": (pa.array([{"a": b"\xff", "b": [Decimal(2)]}, None]), {"a": "/w==", "b": ["2"]}),
    "largest": (pa.array([2**64 - 1, None], pa.uint64()), 2**64 - 1),
    "nan": (pa.array([math.nan, None]), None),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_of_any_type_is_answered(tmp_path: Path, name: str):
    values, expected = COLUMNS[name]
    vectors = pa.array([[1, 0], [0, 1]], pa.list_(pa.float32(), 2))
    rows = pa.table({"id": ["a", "b"], "path": ["", ""], name: values, "vector": vectors})
    Store.create(tmp_path / "s.lance", rows.schema, "m", "f").add(rows)
    wanted = PageWanted(2, 0, None, {}, None, fold=False)
    found = LazyStore(tmp_path / "s.lance").search(np.array([1.0, 0.5]), wanted)
    assert [row[name] for row in json.loads(json_response(found).body)["results"]] == [expected, None]
