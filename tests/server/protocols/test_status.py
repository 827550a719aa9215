from __future__ import annotations

import json
import re

import pytest

from openclip_api.engines.cores import available_cores

from ...support.server_process import ServerProcess


def test_root_is_a_page_for_browsers_and_json_for_programs(server: ServerProcess):
    page = server.http.get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "<title>OpenCLIP API</title>" in page.text
    for accept in ("application/json", "*/*"):
        data = server.http.get("/", headers={"Accept": accept}).json()
        assert data["name"] == "OpenCLIP API"
        assert data["status"] == "ready"


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/health", "/ready", "/info"])
def test_it_answers_200(server: ServerProcess, path: str):
    assert server.http.get(path).status_code == 200


def test_info_tells_model_and_limits(server: ServerProcess):
    info = server.http.get("/info").json()
    assert info["model_id"] == "OpenCLIP-tiny-clip"
    assert (info["embed_dim"], info["image_size"], info["context_length"]) == (16, 32, 77)
    assert info["mean"] == [0.48145466, 0.4578275, 0.40821073]
    assert (info["precision"], info["engine"], info["device"]) == ("fp32", "openvino", "cpu")
    assert info["logit_scale"] == pytest.approx(100, rel=1e-3)
    assert info["logit_bias"] is None
    assert len(info["fingerprint"]) == 16
    assert info["store"] is False
    assert (info["limits"]["max_texts"], info["limits"]["max_items"]) == (8, 8)
    assert info["limits"]["image_formats"] == ["JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF"]
    assert "image/avif" in info["limits"]["image_types"]
    assert info["limits"]["image_accept"].split(",")[-1] == ".avifs"
    assert info["cores"] == available_cores()
    assert info["image_reading"] == "natural"


def test_openapi_describes_the_body_that_is_read(server: ServerProcess):
    operation = server.http.get("/openapi.json").json()["paths"]["/embeddings"]["post"]
    content = operation["requestBody"]["content"]
    native, openai = content["application/json"]["schema"]["anyOf"]
    assert set(native["properties"]) == {"text", "image", "normalize", "truncate", "model", "language"}
    assert {"input", "messages", "encoding_format"} < set(openai["properties"])
    assert "image/jpeg" in content
    assert "200" in operation["responses"]


def test_openapi_shows_each_protocol_s_errors(server: ServerProcess):
    paths = server.http.get("/openapi.json").json()["paths"]
    for path, key in {"/embeddings": "error", "/v2/embed": "message", "/v1/multimodalembeddings": "detail"}.items():
        [content] = paths[path]["post"]["responses"]["4XX"]["content"].values()
        assert list(content["example"]) == [key]


def test_no_reference_of_openapi_leads_nowhere(server: ServerProcess):
    document = server.http.get("/openapi.json").json()
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)):
        found = document
        for part in reference.split("/"):
            found = found[part]


def test_browsers_may_call_from_anywhere_without_credentials(server: ServerProcess):
    headers = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    preflight = server.http.options("/embeddings", headers=headers)
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in preflight.headers


def test_the_answer_is_plain_json(server: ServerProcess):
    response = server.http.post("/embeddings", json={"text": "a"})
    assert response.headers["content-type"] == "application/json"
    assert len(json.loads(response.content)["embeddings"][0]) == 16


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/docs", "/page/app.js", "/openapi.json", "/health", "/ready", "/info", "/metrics", "/ping"),
        *("/page/none.js", "/items/a/thumbnail", "/nowhere"),
    ],
)
def test_head_is_get_without_the_body(server: ServerProcess, path: str):
    got, head = server.http.get(path), server.http.head(path)
    assert head.status_code == got.status_code
    assert head.content == b""
    varying = {"x-request-id", "date", "content-length" if path == "/metrics" else ""}
    assert {name: value for name, value in head.headers.items() if name not in varying} == {
        name: value for name, value in got.headers.items() if name not in varying
    }
    assert int(head.headers["content-length"]) > 0


def test_head_is_conditional_and_no_operation_of_its_own(server: ServerProcess):
    etag = server.http.head("/page/app.js").headers["etag"]
    assert server.http.head("/page/app.js", headers={"If-None-Match": etag}).status_code == 304
    paths = server.http.get("/openapi.json").json()["paths"]
    assert not any("head" in operations for operations in paths.values())


@pytest.mark.parametrize(("path", "allowed"), [("/health", {"GET", "HEAD"}), ("/embeddings", {"POST"})])
def test_405_lists_head_where_get_is(server: ServerProcess, path: str, allowed: set[str]):
    for method in {"PUT", "POST", "HEAD", "GET"} - allowed:
        answer = server.http.request(method, path)
        assert answer.status_code == 405
        assert set(answer.headers["allow"].split(", ")) == allowed


def test_head_is_counted_under_its_route(server: ServerProcess):
    server.http.head("/info")
    assert 'method="HEAD",route="/info",status="200"' in server.http.get("/metrics").text
