"""Text that was cut inside an emoji: half of a surrogate pair, as "\\ud83d" in JSON. It is one item's fault."""

from __future__ import annotations

import json

import pytest

from openclip_api.server.shared.bounded_json import parse_json

from ...support.server_process import ServerProcess

CUT = r"\ud83d"
BODIES = [
    ("/embeddings", r'{"text": ["a", "b \ud83d"]}', "text[1]"),
    ("/embeddings", r'{"text": ["\ude00", "b"]}', "text[0]"),
    ("/embeddings", r'{"image": ["\ud83d"]}', "image"),
    ("/v1/embeddings", r'{"input": ["a", "b \ud83d"]}', "input[1]"),
    ("/v1/embeddings", r'{"input": "\ud83d\ud83d\ude00"}', "input"),
    ("/v1/embeddings", r'{"input": [{"text": "\ud83d"}]}', "input"),
    ("/v2/embed", r'{"texts": ["a", "\uDBFF"]}', "texts[1]"),
    ("/v1/multimodalembeddings", r'{"inputs": [{"content": [{"type": "text", "text": "\ud83d"}]}]}', "inputs[0]"),
    ("/vectorize", r'{"texts": ["a", "\ud83d"]}', "texts[1]"),
    ("/encode", r'[{"text": "a"}, {"text": "\ud83d"}]', "body[1].text"),
    ("/classify", r'{"image": "aGk=", "labels": ["a", "\ud83d"]}', "labels[1]"),
    ("/classify", r'{"image": "aGk=", "labels": ["a"], "templates": ["{}", "{} \ud83d"]}', "templates[1]"),
    ("/rank", r'{"queries": [{"text": "a"}], "candidates": [{"text": "a", "id": "\ud83d"}]}', "candidates[0].id"),
    ("/clip/embed_text", r'{"text": "a", "id": "\ud83d"}', "id"),
    ("/search", r'{"text": "\ud83d"}', "text"),
    ("/embeddings", r'{"text": "a", "model": "\ud83d"}', "model"),
    ("/rank", r'{"queries": [{"text": "a"}], "candidates": [{"text": "\ud83d"}]}', "candidates[0]"),
    ("/api/embed", r'{"input": ["a", "\ud83d"]}', "input[1]"),
    ("/embed", r'{"inputs": ["a", "\ud83d"]}', "inputs[1]"),
    ("/predict", r'{"instances": ["a", {"text": "\ud83d"}]}', "instances[1]"),
    ("/clip/embed_text", r'{"text": ["a", "\ud83d"]}', "text[1]"),
    ("/clip/embed_image", r'{"image": {"type": "base64", "value": "\ud83d"}}', "image.value"),
    ("/clip/embed_image", r'{"image": "\ud83d"}', "image"),
    ("/clip/compare", r'{"subject": "a", "subject_type": "text", "prompt": {"\ud83d": "a"}}', "prompt"),
]


@pytest.mark.parametrize(("path", "body", "named"), BODIES)
def test_the_item_is_named(server: ServerProcess, path: str, body: str, named: str):
    answer = server.http.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert named in answer.text
    assert "not JSON" not in answer.text


@pytest.mark.parametrize("body", [r'{"text": "a", "note": "\ud83d"}', r'{"text": "\ud83d\ude00"}', '{"text": "😀"}'])
def test_what_is_not_embedded_does_not_matter(server: ServerProcess, body: str):
    assert server.http.post("/embeddings", content=body.encode()).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        r'{"text": "\ud83d", "x": NaN}',
        r'{"text": "\ud83d"',
        r'{"text": "\ud83"}',
        r'{"text": "\ud83d", "x": ' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
)
def test_what_is_no_json_is_told_so(server: ServerProcess, body: str):
    answer = server.http.post("/embeddings", content=body)
    assert answer.status_code in (400, 413), answer.text
    assert json.loads(answer.text)["error"]["type"] in ("invalid_request", "too_large")


OTHER_PARTS = ["NaN", "Infinity", "-Infinity", "1e999", "-0", "01", "9" * 999, "1.", "'a'", '"\\x"', '"\t"', "nul",
               "[" * 190 + "]" * 190, "[" * 210 + "]" * 210, '{"a": 1, "a": 2}', r'"\ud7ff\\ud800"']  # fmt: skip


@pytest.mark.parametrize("part", OTHER_PARTS)
def test_all_the_rest_is_read_as_ever(part: str):
    """A text that was cut changes nothing of how the rest of the body is read, or why it is refused."""
    whole, cut = (b'{"text": "%s", "x": %s}' % (text, part.encode()) for text in (b"a", rb"\ud83d"))
    try:
        expected = parse_json(whole, 1000)
    except ValueError:
        with pytest.raises(ValueError):
            parse_json(cut, 1000)
        return
    assert parse_json(cut, 1000) == {**expected, "text": "\ud83d"}
