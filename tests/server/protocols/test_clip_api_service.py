"""CLIP-API-service's bare arrays; /rank is in test_classify.py."""

from __future__ import annotations

import numpy as np
import pytest

from ...conftest import Encode
from .test_native import CANARY, assert_clear_error, b64
from .test_openai import raw


def test_encode_takes_and_gives_bare_arrays_as_the_model_gives_them(server, photo: Encode):
    image = b64(photo())
    items = [{"text": "a cat"}, {"img_blob": image}, {"img_uri": f"data:image/jpeg;base64,{image}"}]
    response = server.http.post("/encode", json=items)
    assert response.status_code == 200
    rows = np.array(response.json(), np.float32)
    np.testing.assert_allclose(rows[:2], raw(server, text="a cat", image=image), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(rows[1], rows[2])


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ([], "body"),
        ({"text": "a"}, "body"),
        ([{}], "body[0]"),
        ([{"text": "a"}, {"text": 3}], "body[1].text"),
        ([{"text": "a", "img_blob": "aGk="}], "body[0]"),
        ([{"text": "a"}, {"img_blob": CANARY}], "body[1]"),
        ([{"img_uri": f"http://{CANARY}/a.png"}], "body[0]"),
    ],
)
def test_a_wrong_item_is_named(server, body: object, param: str):
    assert_clear_error(server.http.post("/encode", json=body), 422, param)
