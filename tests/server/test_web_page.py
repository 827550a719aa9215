"""The page's files as they are served. `make page` tries the page in a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from openclip_api.server import web_page

from ..support.repository import ROOT
from ..support.server_process import ServerProcess

FOLDER = Path(web_page.__file__).parent / "page"
FILES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file())
SOURCES = [name for name in FILES if not name.startswith("samples/")]
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.parametrize("path", ["/", "/docs", *(f"/page/{name}" for name in FILES)])
def test_a_file_comes_with_its_type_and_a_policy(server: ServerProcess, path: str):
    response = server.http.get(path, headers=HTML)
    assert response.status_code == 200
    file = FOLDER / (path.removeprefix("/page/") if path.startswith("/page/") else "index.html")
    assert response.content == file.read_bytes()
    types = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    types |= {".png": "image/png", ".md": "text/plain"}
    assert response.headers["content-type"].split(";")[0] == types[file.suffix]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "Accept" in response.headers["vary"].split(", ")
    policy = dict(part.split(" ", 1) for part in response.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["img-src"] == "'self' blob: data:"


@pytest.mark.parametrize("path", ["/", "/page/app.js"])
def test_what_a_browser_has_is_not_sent_again(server: ServerProcess, path: str):
    first = server.http.get(path, headers=HTML)
    assert first.headers["cache-control"] == "no-cache"
    etag = first.headers["etag"]
    for known in (etag, f'"other", {etag}', f"W/{etag}"):  # a proxy that compresses weakens it
        again = server.http.get(path, headers={**HTML, "If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert server.http.get(path, headers={**HTML, "If-None-Match": '"other"'}).status_code == 200


def test_json_at_the_root_is_not_taken_for_the_page(server: ServerProcess):
    etag = server.http.get("/", headers=HTML).headers["etag"]
    answer = server.http.get("/", headers={"Accept": "application/json", "If-None-Match": etag})
    assert answer.status_code == 200
    assert "Accept" in answer.headers["vary"].split(", ")
    assert answer.json()["links"]["docs"] == "/docs"


@pytest.mark.parametrize(
    "path", ["", "nothing.js", "../web_page.py", "%2e%2e/web_page.py", "..%2fweb_page.py", "/etc/passwd", "samples"]
)
def test_nothing_else_is_served(server: ServerProcess, path: str):
    response = server.http.get(f"/page/{path}")
    assert response.status_code == 404
    assert response.json()["error"]["type"] == "not_found"


def test_it_is_small():
    assert sum((FOLDER / name).stat().st_size for name in SOURCES) < 120_000
    assert sum((FOLDER / name).stat().st_size for name in FILES if name not in SOURCES) < 30_000


def test_all_that_is_referred_to_is_there_and_nothing_is_left_over():
    used = {"index.html"}
    html = (FOLDER / "index.html").read_text()
    used |= set(re.findall(r'(?:src|href)="page/([^"]+)"', html))
    for name in SOURCES:
        if name.endswith(".js"):
            text = (FOLDER / name).read_text()
            used |= set(re.findall(r'from "\./([^"]+)"', text))
            used |= {f"samples/{sample}.png" for sample in re.findall(r'\["([\w-]+)", "an? ', text)}
    assert used == set(FILES)
    ids = set(re.findall(r'\bid="([^"]+)"', html))
    for name in SOURCES:
        assert set(re.findall(r'\$\("([^"]+)"\)', (FOLDER / name).read_text())) <= ids


@pytest.mark.parametrize("name", [name for name in SOURCES if not name.endswith(".svg")])
def test_nothing_is_inline_or_from_another_origin(name: str):
    text = (FOLDER / name).read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
    if name.endswith(".html"):
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]*\ssrc=)", text)
        assert not re.search(r'(?:src|href)="(?:https?:)?//', text)
    assert not re.search(r"""(?:import|fetch\(|url\()\s*["'(]?(?:https?:)?//""", text)
    assert not re.search(r"localStorage|sessionStorage|document\.cookie|indexedDB", text)


def test_the_samples_are_those_whose_source_is_told():
    told = (FOLDER / "samples" / "ATTRIBUTION.md").read_text()
    for name in FILES:
        if name.endswith(".png"):
            assert (FOLDER / name).read_bytes() == (ROOT / name).read_bytes()
            assert Path(name).name in told
