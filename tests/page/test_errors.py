"""What goes wrong is told where it happens, in the API's words."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from ..support.free_port import free_port
from ..support.hub_server import Hang, Hub
from ..support.server_process import ServerProcess
from .conftest import ROOT, SCREENSHOTS, Open, serve, url_of

CAT = {"name": "cat.png", "mimeType": "image/png", "buffer": (ROOT / "samples" / "cat.png").read_bytes()}
NOT_AN_IMAGE = {"name": "notes.png", "mimeType": "image/png", "buffer": b"not an image"}


def message(server: ServerProcess, path: str, **options: object) -> str:
    return server.http.post(path, **options).json()["error"]["message"]  # type: ignore[arg-type]


def test_a_bad_image_is_told_at_the_image_and_the_others_go_on(open_page: Open, server: ServerProcess):
    told = message(server, "/embeddings", content=b"not an image", headers={"Content-Type": "image/png"})
    with open_page(allowed=(422,)) as page:
        expect(page.locator("#matrix th img")).to_have_count(4)
        page.locator("#compare-pictures input").set_input_files([NOT_AN_IMAGE, CAT])
        expect(page.locator("#compare-pictures .failed")).to_have_count(1)
        expect(page.locator("#compare-pictures .failed .error")).to_have_text(told)
        expect(page.locator("#matrix th img")).to_have_count(5)
        expect(page.locator("#compare-error")).to_be_empty()


def test_a_bad_image_in_the_other_views(open_page: Open):
    with open_page("/#classify", allowed=(422,)) as page:
        expect(page.locator("#scores li")).to_have_count(4)
        page.locator("#classify-pictures input").set_input_files(NOT_AN_IMAGE)
        expect(page.locator("#classify-pictures .failed .error")).to_contain_text("not a JPEG, PNG")
        expect(page.locator("#scores li")).to_have_count(0)
        page.locator("#classify-pictures").get_by_role("button", name="a snowman").click()
        expect(page.locator("#scores li")).to_have_count(4)
        expect(page.locator("#classify-pictures .error")).to_have_count(0)
        page.get_by_role("link", name="Embed").click()
        page.get_by_role("radio", name="an image").check()
        expect(page.locator("#vector")).to_be_visible()
        page.locator("#embed-pictures input").set_input_files(NOT_AN_IMAGE)
        expect(page.locator("#embed-pictures .failed .error")).to_contain_text("not a JPEG, PNG")
        expect(page.locator("#vector")).to_be_hidden()


def test_a_template_without_its_place(open_page: Open, server: ServerProcess):
    image = "data:image/png;base64,"
    told = message(server, "/classify", json={"image": image + "aGk=", "labels": ["a"], "templates": ["a photo"]})
    with open_page("/#classify", allowed=(422,)) as page:
        page.locator("#template").fill("a photo")
        expect(page.locator("#classify-error")).to_have_text(told)
        page.locator("#template").fill("a photo of a {}")
        expect(page.locator("#classify-error")).to_be_empty()
        expect(page.locator("#scores li")).to_have_count(4)


def test_too_much_is_told_with_its_limit(open_page: Open):
    with serve(MAX_TEXTS=4, MAX_BODY_MB=0.1) as server, open_page(base=url_of(server), allowed=(413,)) as page:
        expect(page.locator("#matrix td button")).to_have_count(16)
        page.locator("#compare-texts").fill("\n".join(f"text {i}" for i in range(9)))
        expect(page.locator("#compare-error")).to_contain_text("more than 4 texts")
        large = {"name": "large.png", "mimeType": "image/png", "buffer": bytes(200_000)}
        page.locator("#compare-texts").fill("a text")
        expect(page.locator("#matrix td button")).to_have_count(4)
        page.locator("#compare-pictures input").set_input_files(large)
        expect(page.locator("#compare-pictures .failed .error")).to_contain_text("0.1 MB")


def test_a_key_is_asked_for_and_kept_in_memory_only(open_page: Open):
    key = "schlüssel-1"
    with serve(API_KEY=key) as server, open_page("/#embed", base=url_of(server), allowed=(401,)) as page:
        expect(page.locator("#key")).to_be_focused()
        expect(page.locator("main section:not([hidden])")).to_have_count(0)
        expect(page.locator("#key-error")).to_be_empty()
        page.locator("#key").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#key-error")).to_contain_text("an API key is needed")
        page.locator("#key").fill(key)
        page.get_by_role("button", name="Use it").click()
        expect(page.locator("#vector")).to_be_visible()
        expect(page.locator("#key-form")).to_be_hidden()
        assert "$API_KEY" in page.locator("[data-language=curl] pre").inner_text()
        assert "1" not in re.findall(r"Bearer (.*)", page.locator("#code").inner_text())[0]
        for view in ("Compare", "Classify", "API"):
            page.get_by_role("link", name=view, exact=True).click()
        expect(page.locator(".route").first).to_be_visible()
        kept = page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]")
        assert kept == [0, 0, ""]
        assert page.context.cookies() == []
        page.reload()
        expect(page.locator("#key-form")).to_be_visible()


def test_docs_opens_without_a_key_and_asks_for_it(open_page: Open):
    with serve(API_KEY="k-1") as server, open_page("/docs", base=url_of(server), allowed=(401,)) as page:
        page.locator("#key").fill("k-1")
        page.keyboard.press("Enter")
        expect(page.locator(".route").first).to_be_visible()


def test_a_server_that_stops_and_comes_back(open_page: Open):
    port = free_port()
    refused = "ERR_CONNECTION_REFUSED"
    with serve(PORT=port) as server:
        opening = open_page("/#embed", base=url_of(server), allowed=())
        page = opening.__enter__()
        expect(page.locator("#vector")).to_be_visible()
        server.stop()
    page.locator("#embed-text").fill("a red car")
    expect(page.locator("#embed-error")).to_contain_text("The server does not answer")
    expect(page.locator("#state")).to_contain_text("The server does not answer")
    with serve(PORT=port):
        expect(page.locator("#state")).to_have_text("Ready", timeout=60_000)
        expect(page.locator("#vector")).to_be_visible()
        expect(page.locator("#embed-error")).to_be_empty()
        with pytest.raises(AssertionError, match=refused):  # the browser tells of each look for it
            opening.__exit__(None, None, None)


def test_another_model_behind_the_same_address_is_noticed(open_page: Open):
    port = free_port()
    opening = None
    with serve(PORT=port, PRECISION="fp32") as server:
        opening = open_page(base=url_of(server), allowed=(412,))
        page = opening.__enter__()
        expect(page.locator("#matrix td button")).to_have_count(16)
        first = page.locator("#facts code").inner_text()
        server.stop()
    with serve(PORT=port, PRECISION="int8"):
        page.locator("#compare-texts").fill("a penguin\na new text")
        expect(page.locator("#facts code")).not_to_have_text(first)
        expect(page.locator("#compare-error")).to_be_empty()
        expect(page.locator("#matrix td button")).to_have_count(8)
        opening.__exit__(None, None, None)


def test_while_the_model_is_loading(open_page: Open, tmp_path: Path):
    """From a hub that gives half of the weights and then waits."""
    config = {"embed_dim": 16, "vision_cfg": {"image_size": 32}, "text_cfg": {"context_length": 77}}
    files = {
        "open_clip_config.json": json.dumps({"model_cfg": config, "preprocess_cfg": {}}).encode(),
        "open_clip_model.safetensors": bytes(22_000_000),
    }
    with Hub({"org/slow": files}) as hub:
        hub.fault = Hang(after=11_000_000)
        settings = {"HF_ENDPOINT": hub.url, "HF_HOME": tmp_path, "HF_HUB_DISABLE_XET": 1}
        with serve(ready=False, MODEL_NAME="hf-hub:org/slow", **settings) as server:
            base = server.wait_until_listening()
            with open_page(base=base, allowed=(503,)) as page:
                expect(page.locator("#state")).to_contain_text("Loading the model")
                expect(page.locator("#progress")).to_be_visible()
                expect(page.locator("#megabytes")).to_have_text("10 of 22 MB")
                page.screenshot(path=SCREENSHOTS / "loading.png")


def test_files_that_the_server_reads_are_offered_and_others_told(open_page: Open, server: ServerProcess):
    """A TIFF is no file that a server reads by default; an AVIF is."""
    formats = server.http.get("/info").json()["limits"]
    content = (ROOT / "tests" / "golden" / "formats" / "plain.avif").read_bytes()
    avif = {"name": "plain.avif", "mimeType": "image/avif", "buffer": content}
    tiff = {"name": "cat.tiff", "mimeType": "image/tiff", "buffer": b"II*\0" + bytes(100)}
    with open_page(allowed=(422,)) as page:
        expect(page.locator("#matrix th img")).to_have_count(4)
        accepted = page.locator("#compare-pictures input").get_attribute("accept")
        assert accepted == formats["image_accept"]
        assert "image/avif" in accepted
        assert ".tif" not in accepted
        page.locator("#compare-pictures input").set_input_files([avif, tiff])
        expect(page.locator("#matrix th img")).to_have_count(5)
        told = "not a JPEG, PNG, WebP, GIF, BMP or AVIF image but TIFF, which this server's IMAGE_FORMATS leaves out"
        expect(page.locator("#compare-pictures .failed .error")).to_contain_text(told)
        expect(page.locator("#compare-pictures .failed img")).to_have_attribute("src", re.compile("icon.svg$"))
