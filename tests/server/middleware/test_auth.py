"""API_KEY: closed unless named public."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.routing import BaseRoute

from openclip_api.server.app import create_app
from openclip_api.server.direct_routes import DirectRoutes
from openclip_api.server.in_flight import InFlightRequests
from openclip_api.server.middleware.auth import is_public
from openclip_api.server.model_pool import ModelPool
from openclip_api.settings import Settings

from ...support.raw_http import exchange, http_request, status_of
from ...support.server_process import FakeServer

pytestmark = pytest.mark.process

KEY, OTHER = "k-3f9a", "schlüssel"
PUBLIC = {"/", "/docs", "/health", "/ready", "/ping"}


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with FakeServer(API_KEY=f"{KEY}, {OTHER}") as process:
        yield process
        assert process.stop() == 0
        assert KEY not in process.output
        assert OTHER not in process.output


def routes_of(routes: list[BaseRoute], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(method, path) of every route, those of included routers and mounted applications too."""
    for route in routes:
        path = prefix + getattr(route, "path", "")
        router = getattr(route, "original_router", route)  # how FastAPI includes one
        if getattr(router, "routes", None):
            yield from routes_of(router.routes, path)
        elif isinstance(route, DirectRoutes):
            yield from route.found
        else:
            assert hasattr(route, "app"), f"a kind of route this walk does not know: {route!r}"
            for method in sorted(getattr(route, "methods", None) or {"GET"}):
                yield method, path


def every_route() -> list[tuple[str, str]]:
    app = create_app(Settings(), ModelPool({"a": lambda _: None}), InFlightRequests())  # type: ignore[arg-type,return-value]
    return sorted(set(routes_of(app.routes)))


def test_the_walk_finds_them_all():
    found = {path for _, path in every_route()}
    assert {"/embeddings", "/classify", "/metrics", "/info", "/docs", "/openapi.json", "/health"} <= found


@pytest.mark.parametrize(("method", "path"), every_route())
def test_every_route_but_the_public_ones_wants_a_key(server: FakeServer, method: str, path: str):
    path = path.replace("{", "").replace("}", "")
    answer = server.http.request(method, path)
    if method in ("GET", "HEAD") and (path in PUBLIC or path.startswith(("/.well-known/", "/page/"))):
        assert answer.status_code != 401
        return
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert KEY not in answer.text
    assert server.http.request(method, path, headers={"Authorization": f"Bearer {KEY}"}).status_code != 401


def ask(server: FakeServer, *authorization: str | bytes, path: str = "/embeddings") -> int:
    headers: list[tuple[Any, Any]] = [(b"Authorization", value) for value in authorization]
    return server.http.post(path, json={"text": "a"}, headers=headers).status_code


@pytest.mark.parametrize(
    "authorization",
    [f"Bearer {KEY}", f"bearer {KEY}", f"BEARER   {KEY}", f"Bearer {OTHER}".encode()],
)
def test_each_key_opens_whatever_the_scheme_s_case(server: FakeServer, authorization: str | bytes):
    assert ask(server, authorization) == 200


@pytest.mark.parametrize(
    "authorization",
    [
        [],
        [""],
        ["Bearer"],
        ["Bearer wrong"],
        [f"Bearer {KEY}x"],
        [f"Bearer {KEY[:-1]}"],
        [f"Bearer {KEY.upper()}"],
        [f"Bearer {KEY},{KEY}"],
        [f"Basic {KEY}"],
        [KEY],
        [f"Bearer: {KEY}"],
        [f"Bearer {KEY}, {OTHER}".encode()],
        [b"Bearer \xff\xfe"],
        ["Bearer ключ".encode()],
        [OTHER.encode("latin-1")],
        [f"Bearer {KEY}", "Bearer wrong"],
        ["Bearer wrong", f"Bearer {KEY}"],
        ["Bearer " + "x" * 60_000],
    ],
)
def test_all_else_is_401(server: FakeServer, authorization: list[str | bytes]):
    assert ask(server, *authorization) == 401


def test_a_token_of_a_megabyte_ends_at_the_headers_limit(server: FakeServer):
    headers = "Authorization: Bearer " + "x" * 1_000_000 + "\r\nConnection: close\r\n"
    assert status_of(exchange(server, http_request(b"{}", headers=headers))) in (0, 400, 431)
    assert ask(server, f"Bearer {KEY}") == 200


def test_a_key_in_the_query_does_not_count(server: FakeServer):
    assert ask(server, path=f"/embeddings?api_key={KEY}&token={KEY}") == 401


@pytest.mark.parametrize(
    "path",
    [
        "//embeddings",
        "/health/../embeddings",
        "/.well-known/../embeddings",
        "/.well-known/%2e%2e/embeddings",
        "/page/..%2fembeddings",
        "/embeddings/",
        "/embeddings?x=/health",
        "/Health",
        "/health;/embeddings",
        "http://health/embeddings",
        "/%65mbeddings",
    ],
)
def test_no_spelling_of_a_path_goes_round_it(server: FakeServer, path: str):
    answer = exchange(server, http_request(b'{"text": "a"}', path, "Connection: close\r\n"))
    assert status_of(answer) in (401, 404)
    assert b"embeddings" not in answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("host", ["/health", "a/?x=", "x/health#", "127.0.0.1\\@health", ""])
def test_the_host_header_has_no_say(server: FakeServer, host: str):
    sent = f"POST /embeddings HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}".encode()
    assert status_of(exchange(server, sent)) in (400, 401)


def test_a_preflight_needs_no_key_and_gets_no_data(server: FakeServer):
    headers = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    headers["Access-Control-Request-Headers"] = "authorization"
    preflight = server.http.options("/embeddings", headers=headers)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-headers"] == "authorization"
    assert preflight.text == "OK"
    assert server.http.options("/embeddings").status_code == 401  # no preflight
    refused = server.http.post("/embeddings", json={"text": "a"}, headers={"Origin": "https://a.example"})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "*"  # a page may read why


def test_only_listed_origins_are_allowed():
    with FakeServer(CORS_ORIGINS="https://good.example") as server:
        for origin, allowed in [("https://good.example", "https://good.example"), ("https://evil.example", None)]:
            headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            assert server.http.options("/embeddings", headers=headers).headers.get("access-control-allow-origin") == (
                allowed
            )


def test_what_is_public():
    assert all(map(is_public, ["/", "/docs", "/health", "/ready", "/ping", "/.well-known/live", "/page/app.js"]))
    assert not any(map(is_public, ["", "/health/", "/healthx", "/page", "/.well-known", "/metrics", "/page/../info"]))


def test_a_route_that_is_put_among_roboflow_s_needs_the_header():
    """Roboflow's clients send the key in the body, so its own routes look for it there, and no other route does."""
    with FakeServer(API_KEY=KEY, AIP_PREDICT_ROUTE="/clip/embed_text", AIP_HEALTH_ROUTE="/clip/health") as server:
        for path in ("/clip/embed_text", "/clip/x", "/%63lip/embed_text"):
            body = {"instances": ["a"], "text": "a", "api_key": KEY}
            assert server.http.post(path, json=body).status_code == 401
        assert server.http.get("/clip/embed_text").status_code == 401
        assert server.http.post("/clip/compare", json={"api_key": KEY}).status_code == 400
