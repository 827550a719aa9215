"""The Embed view and the API view: the requests that they show work as they are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from ..support.server_process import ServerProcess
from .conftest import ROOT, Open, image_vector, url_of, vector

SAMPLES = ROOT / "samples"
PNG = (SAMPLES / "cat.png").read_bytes()


def test_embed_shows_copies_and_saves_the_vector(open_page: Open, server: ServerProcess, tmp_path: Path):
    with open_page("/#embed", permissions=["clipboard-read", "clipboard-write"]) as page:
        page.locator("#embed-text").fill("blue bicycle")
        expected = vector(server, text="blue bicycle")
        expect(page.locator("#vector-preview")).to_contain_text(f"[{expected[0]:.4f}, {expected[1]:.4f}")
        expect(page.locator("#vector-facts")).to_contain_text(f"Norm{np.linalg.norm(expected):.6f}")
        page.get_by_role("button", name="Copy as JSON").click()
        expect(page.locator("#copy-vector")).to_have_text("Copied")
        assert json.loads(page.evaluate("navigator.clipboard.readText()")) == expected.tolist()
        with page.expect_download() as download:
            page.get_by_role("button", name="Download .npy").click()
        download.value.save_as(tmp_path / "vector.npy")
        saved = np.load(tmp_path / "vector.npy")
        assert saved.dtype == np.float32
        np.testing.assert_array_equal(saved, expected.astype(np.float32))
        page.locator("#normalize").check()
        expect(page.locator("#vector-facts")).to_contain_text("Norm1.000000")


SHOW = {"Python": "\nprint(vector)\n", "JavaScript": "\nconsole.log(JSON.stringify(vector));\n"}


@pytest.mark.parametrize("language", ["curl", "Python", "JavaScript"])
@pytest.mark.parametrize("kind", ["text", "image"])
@pytest.mark.parametrize("normalize", [False, True])
def test_the_request_that_is_shown_works_as_it_is(
    open_page: Open, server: ServerProcess, tmp_path: Path, language: str, kind: str, normalize: bool
):
    if language == "JavaScript" and not shutil.which("node"):
        pytest.skip("no Node here")
    text, name = 'it\'s "red" \\ $HOME `x` é 🛋', "it's a cat.png"
    (tmp_path / name).write_bytes(PNG)
    with open_page("/#embed") as page:
        if kind == "image":
            page.get_by_role("radio", name="an image").check()
            page.locator("#embed-pictures input").set_input_files(tmp_path / name)
            expect(page.locator("#code")).to_contain_text("a cat.png")
        else:
            page.locator("#embed-text").fill(text)
            expect(page.locator("#code")).to_contain_text("🛋")
        page.locator("#normalize").set_checked(normalize)
        code = str(page.locator(f"[data-language={language}] pre").text_content())
    commands = {"curl": ["bash", "-c", code], "Python": [sys.executable, "-c", code + SHOW["Python"]]}
    (tmp_path / "ask.mjs").write_text(code + SHOW["JavaScript"])
    command = commands.get(language, ["node", "ask.mjs"])
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    expected = vector(server, text=text, normalize=normalize) if kind == "text" else image_vector(server, "cat.png")
    given = np.array(answer["embeddings"][0] if language == "curl" else answer)
    assert np.linalg.norm(given) == pytest.approx(1, abs=1e-5) if normalize else np.linalg.norm(given) != 1
    if kind == "text" or normalize:
        np.testing.assert_allclose(given, expected, atol=1e-6)


def test_the_api_is_shown_and_can_be_tried(open_page: Open, server: ServerProcess):
    paths = server.http.get("/openapi.json").json()["paths"]
    with open_page("/docs", allowed=(400, 404)) as page:
        expect(page.locator(".route")).to_have_count(sum(len(operations) for operations in paths.values()))
        for path, method in ((path, method) for path, operations in paths.items() for method in operations):
            if "{" in path:
                continue
            route = page.locator(
                ".route", has=page.locator("summary code", has_text=re.compile(f"^{re.escape(path)}$"))
            ).filter(has=page.locator(".method", has_text=re.compile(f"^{method}$", re.IGNORECASE)))
            refused = paths[path][method]["summary"].startswith("Refused")
            route.locator("summary").click()
            route.get_by_role("button", name="Send").click()
            expect(route.locator("[role=status]")).to_contain_text(
                re.compile("^404" if path == "/search" or refused else "^20[04]")
            )  # no store
        native = page.locator(".route", has=page.locator("summary code", has_text=re.compile("^/embeddings$")))
        expect(native.locator("pre")).to_contain_text("252 more]")
        native.get_by_label("Body").fill("[")
        native.get_by_role("button", name="Send").click()
        expect(native.locator("pre")).to_contain_text('"type": "invalid_request"')


def test_a_route_s_curl_works_as_it_is(open_page: Open, server: ServerProcess):
    with open_page("/docs", permissions=["clipboard-read", "clipboard-write"]) as page:
        route = page.locator(".route", has=page.locator("summary code", has_text=re.compile("^/rank$")))
        route.locator("summary").click()
        route.get_by_role("button", name="Copy as curl").click()
        expect(route.get_by_role("button", name="Copied")).to_be_visible()
        command = page.evaluate("navigator.clipboard.readText()")
    assert url_of(server) in command
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert "probabilities" in json.loads(done.stdout)
