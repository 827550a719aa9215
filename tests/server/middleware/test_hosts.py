"""Who may ask under which name, and which pages may read the owner's files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from openclip_api.server.middleware.hosts import Hosts
from openclip_api.server.shared.origin import may_read
from openclip_api.settings import Settings, read_settings

from ...support.server_in_process import ServerInProcess, build_app, serve_in_process
from ...support.server_process import FakeServer

OURS = ["127.0.0.1", "127.0.0.1:7860", "localhost", "LOCALHOST:80", "[::1]:7860", "[::1]", "clip.localhost:7860"]
HARMLESS = ["clip", "clip:7860", "192.168.1.7:7860", "localhost."]
STRANGE = ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "localhost.evil.example", "1.2.3.4.5", "a.b."]
MALFORMED = ["a/?x=", "evil.example/localhost", "a b", "user@localhost", "localhost:x", "[::1", "[evil.example]"]
ROUTES = ["/", "/health", "/docs", "/page/app.js", "/info", "/metrics", "/nowhere", "/items/a/thumbnail"]


@pytest.fixture(scope="module")
def own(tiny: Path) -> Iterator[ServerInProcess]:
    with serve_in_process(build_app(MODEL_NAME=f"local-dir:{tiny}", PRECISION="fp32")) as server:
        yield server


def ask(server: ServerInProcess, path: str = "/health", method: str = "GET", **headers: str) -> httpx.Response:
    return server.http.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})


@pytest.mark.parametrize("host", [*OURS, *HARMLESS])
def test_this_machine_s_names_and_addresses_are_ours(own: ServerInProcess, host: str):
    assert ask(own, host=host).status_code == 200


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize("host", STRANGE)
def test_a_name_that_may_be_a_stranger_s_is_refused_on_each_route(
    own: ServerInProcess, host: str, method: str, path: str
):
    answer = ask(own, path, method, host=host, x_forwarded_host="localhost", origin=f"http://{host}")
    assert answer.status_code == 421
    assert "access-control-allow-origin" not in answer.headers
    assert "ALLOWED_HOSTS" in answer.text  # in the envelope of what is at this path
    assert "evil" not in answer.text


@pytest.mark.parametrize("host", MALFORMED)
def test_what_is_no_host_is_400(own: ServerInProcess, host: str):
    assert ask(own, host=host).status_code == 400


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, {"127.0.0.1"}),
        ({"host": "localhost"}, {"localhost"}),
        ({"host": "127.8.9.1"}, {"127.8.9.1"}),
        ({"host": "::1", "allowed_hosts": "a.example, b.example"}, {"::1", "a.example", "b.example"}),
        ({"host": "0.0.0.0"}, None),
        ({"host": "0.0.0.0", "allowed_hosts": "a.example"}, {"0.0.0.0", "a.example"}),
        ({"allowed_hosts": "*"}, None),
    ],
)
def test_the_settings_say_which_names_are_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings, names):
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    assert read_settings(**settings).host_names == names


def test_allowed_hosts_are_answered(tiny: Path):
    app = build_app(MODEL_NAME=f"local-dir:{tiny}", PRECISION="fp32", ALLOWED_HOSTS="Clip.example")
    with serve_in_process(app) as server:
        assert ask(server, host="clip.example:8443").status_code == 200
        assert ask(server, host="other.example").status_code == 421


def test_an_ipv6_address_is_one(own: ServerInProcess):
    assert Hosts(own.http.app, ["::1"])._is_ours("[2001:db8::1]")  # type: ignore[arg-type]


HERE = "127.0.0.1:7860"
PAGES = [  # sec-fetch-site, origin, referer; whether it may read
    (None, None, None, True),  # no browser
    ("same-origin", None, None, True),
    ("same-origin", f"http://{HERE}", None, True),
    ("none", None, None, True),  # typed by the user
    ("cross-site", None, None, False),  # <img>, a form, a link
    ("cross-site", "https://evil.example", None, False),
    ("cross-site", "null", None, False),
    ("same-site", "http://127.0.0.1:3000", None, False),  # another program's page on this machine
    (None, f"http://{HERE}", None, True),
    (None, f"https://{HERE}", None, True),  # a proxy ended TLS
    (None, "http://127.0.0.1", None, False),
    (None, "https://evil.example", None, False),
    (None, "null", None, False),
    (None, "", None, False),
    (None, f"https://evil.example/{HERE}", None, False),
    (None, None, f"http://{HERE}/docs", True),
    (None, None, "https://evil.example/x", False),
    (None, None, "nonsense", False),
]


@pytest.mark.parametrize(("site", "origin", "referer", "allowed"), PAGES)
def test_a_page_of_another_site_may_not_read_files(site: str | None, origin: str | None, referer: str | None, allowed):
    assert may_read([], HERE, site, origin, referer) == allowed
    assert may_read(["*"], HERE, site, origin, referer)
    assert may_read(["https://good.example"], HERE, site, origin, referer) == allowed


def test_a_page_that_is_named_may():
    named = ["https://good.example"]
    assert may_read(named, HERE, "cross-site", "https://good.example", None)
    assert may_read(named, HERE, "cross-site", None, "https://good.example/a?b")
    assert not may_read(named, HERE, "cross-site", "https://good.example.evil.example", None)
    assert not may_read(named, HERE, "cross-site", "https://evil.example", "https://good.example/")


EVIL = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"}


@pytest.mark.process
def test_embeddings_stay_open_and_the_store_does_not(tmp_path: Path):
    with FakeServer(STORE=tmp_path / "none.lance") as server:
        assert (
            server.http.post("/embeddings", json={"text": "a"}, headers={"Origin": EVIL["Origin"]}).status_code == 200
        )
        for headers in (EVIL, {"Origin": EVIL["Origin"]}, {"Referer": "https://evil.example/"}):
            for answer in (
                server.http.post("/search", content=b'{"text": "a"}', headers=headers),
                server.http.get("/items/a/thumbnail", headers=headers),
                server.http.head("/items/a/thumbnail", headers=headers),
            ):
                assert answer.status_code == 403
            assert "CORS_ORIGINS" in server.http.get("/items/a/thumbnail", headers=headers).json()["error"]["message"]
        assert server.http.get("/items/a/thumbnail").status_code == 503  # allowed: there is no such store


@pytest.mark.process
@pytest.mark.parametrize("origins", ["https://evil.example,https://b.example", "*"])
def test_origins_that_the_user_names_may_read_the_store(tmp_path: Path, origins: str):
    with FakeServer(STORE=tmp_path / "none.lance", CORS_ORIGINS=origins) as server:
        assert server.http.get("/items/a/thumbnail", headers=EVIL).status_code == 503
        other = server.http.get("/items/a/thumbnail", headers=EVIL | {"Origin": "https://c.example"})
        assert other.status_code == (503 if origins == "*" else 403)
