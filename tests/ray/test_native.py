"""The tests of the native protocol, against the API on Ray Serve: the fixture `server` is conftest.py's.

Two things are the proxy's own, and other: it reads a body to its end, and gives any X-Request-Id back.
"""

import pytest

from ..server.protocols.test_native import *  # noqa: F403
from ..server.protocols.test_native import assert_clear_error
from ..server.shared.test_embed import *  # noqa: F403

pytestmark = pytest.mark.process


def test_a_hostile_request_id_is_replaced(server):
    response = server.http.post("/embeddings", json={"text": "x"}, headers={"X-Request-Id": "a b;<script>"})
    assert response.status_code == 200
    assert response.headers.get_list("x-request-id") == ["a b;<script>"]


def test_a_large_body_is_refused_before_it_is_read(server):
    response = server.http.post("/embeddings", content=(b" " * 100_000 for _ in range(1000)))
    assert_clear_error(response, 413, "body")
