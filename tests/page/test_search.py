"""Search, where the server has a store; without one the view is not there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from ..support.server_process import ServerProcess
from .conftest import PYTHON, ROOT, SCREENSHOTS, Open, serve, url_of
from .test_looks import DESK, PHONE, violations

KEY = "k-7"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample pictures, and a text, which has no thumbnail."""
    folder = tmp_path_factory.mktemp("search")
    (folder / "words.txt").write_text("a yellow rubber duck\n")
    command = [PYTHON, "-m", "openclip_api", "index", ROOT / "samples", folder / "words.txt", "--model-name", "emoji"]
    subprocess.run([*command, "--store", folder / "s.lance", "--progress", "quiet"], check=True, timeout=300)
    return folder / "s.lance"


@pytest.fixture(scope="module")
def searching(store: Path) -> Iterator[ServerProcess]:
    with serve(STORE=store) as server:
        yield server


def test_without_a_store_it_says_how_to_make_one(open_page: Open):
    with open_page("/#search") as page:
        expect(page.get_by_role("heading", name="There is nothing to search yet")).to_be_visible()
        expect(page.locator("#search-none")).to_contain_text("openclip-api photos ~/Pictures")
        expect(page.locator("#search-text")).to_be_hidden()
        assert violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_by_text_by_image_and_by_a_result(
    open_page: Open, searching: ServerProcess, scheme: str, viewport: dict[str, int]
):
    name = f"search-{scheme}-{'phone' if viewport is PHONE else 'desk'}.png"
    found = searching.http.post("/search", json={"text": "a penguin", "k": 100, "fold": True}).json()["results"]
    with open_page(base=url_of(searching), viewport=viewport, color_scheme=scheme) as page:
        page.get_by_role("link", name="Search").click()
        expect(page.locator("#search-status")).to_have_text("37 to search from samples, words.txt")
        page.locator("#search-text").fill("a penguin")
        names = page.locator("#results .name")
        expect(names.nth(23)).to_have_text(found[23]["name"])
        expect(page.locator("#results .score").first).to_have_text(f"{found[0]['score']:.4f}")
        expect(page.locator("#results img[src^=blob]").nth(20)).to_be_attached()
        page.screenshot(path=SCREENSHOTS / name, full_page=True)
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.mouse.wheel(0, 5000)  # more on scroll
        page.locator("#results li").last.scroll_into_view_if_needed()
        expect(names).to_have_text([row["name"] for row in found])
        expect(page.locator("#search-more")).to_be_hidden()

        page.locator("#search-pictures").get_by_role("button", name="a slice of pizza").click()
        expect(names.first).to_have_text("pizza.png")
        expect(page.locator("#search-text")).to_have_value("")
        page.locator("#search-text").fill("a yellow rubber duck")
        expect(page.locator("#search-pictures .name")).to_have_count(0)
        expect(page.locator("#results button", has_text="words.txt:1")).to_be_disabled()  # nothing to show of a text
        expect(page.locator("#results button:disabled img")).to_have_count(0)


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_a_picture_at_full_size_and_what_is_like_it(
    open_page: Open, searching: ServerProcess, viewport: dict[str, int]
):
    with open_page("/#search", base=url_of(searching), viewport=viewport) as page:
        page.locator("#search-text").fill("a slice of pizza")
        page.locator("#results button", has_text="pizza.png").click()
        dialog = page.get_by_role("dialog", name="pizza.png")
        expect(dialog).to_be_visible()
        expect(dialog).to_contain_text("160 × 160")
        expect(dialog.locator("img")).to_be_visible()
        assert dialog.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 160
        assert dialog.get_by_role("link", name="Download").get_attribute("download") == "pizza.png"
        page.screenshot(path=SCREENSHOTS / f"picture-{'phone' if viewport is PHONE else 'desk'}.png")
        assert violations(page) == []
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        page.locator("#results button", has_text="pizza.png").click()
        page.get_by_role("button", name="Find similar").click()
        expect(page.locator("#search-like")).to_have_text("Like pizza.png ×")
        expect(page.locator("#search-text")).to_have_value("")
        expect(page.locator("#results .name").first).to_have_text("pizza.png")
        page.locator("#search-like").click()
        expect(page.locator("#results li")).to_have_count(0)


def test_narrowed(open_page: Open, searching: ServerProcess):
    def ids(**body: object) -> list[str]:
        body = {"text": "a fox", "k": 24, "fold": True, **body}
        return [row["name"] for row in searching.http.post("/search", json=body).json()["results"]]

    with open_page("/#search", base=url_of(searching)) as page:
        page.locator("#search-text").fill("a fox")
        page.get_by_text("Narrow the search").click()
        names = page.locator("#results .name")
        page.locator("#search-under").fill("unseen")
        expect(names).to_have_text(ids(under="unseen"))
        page.get_by_label("Column").select_option("path")
        page.get_by_label("Comparison").select_option("is not")
        page.get_by_label("Value").fill("unseen/fox.png")
        page.get_by_role("button", name="Add", exact=True).locator("visible=true").click()
        expect(names).to_have_text(ids(under="unseen", filter={"path": {"ne": "unseen/fox.png"}}))
        assert violations(page) == []
        page.get_by_label("Column").select_option("width")
        page.get_by_label("Value").fill("wide")
        page.keyboard.press("Enter")
        expect(page.locator("#search-filters .error")).to_have_text("width: enter a number.")
        page.get_by_role("button", name="Remove path is not unseen/fox.png").click()
        page.locator("#search-under").fill("")
        page.locator("#search-minus").fill("a face")
        parts = {"text": None, "parts": [{"text": "a fox"}, {"text": "a face", "weight": -1}]}
        expect(names.first).to_have_text(ids(**parts)[0])


def test_copies_and_names_of_any_bytes(open_page: Open, tmp_path: Path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in (b"two\nlines.png", b"\xff.png", b"x" * 200 + b".png", b"<img src=x onerror=alert(1)>.png"):
        shutil.copy(ROOT / "samples" / "cat.png", os.fsencode(folder) + b"/" + name)
    shutil.copy(ROOT / "samples" / "pizza.png", folder)
    command = [PYTHON, "-m", "openclip_api", "index", folder, "--model-name", "emoji", "--progress", "quiet"]
    subprocess.run([*command, "--store", tmp_path / "s.lance"], check=True, timeout=300)
    with (
        serve(STORE=tmp_path / "s.lance") as server,
        open_page("/#search", base=url_of(server), viewport=PHONE) as page,
    ):
        page.locator("#search-text").fill("a cat")
        expect(page.locator("#results li")).to_have_count(2)
        expect(page.locator("#results li").first).to_contain_text("+3 copies")
        page.get_by_text("Narrow the search").click()
        page.get_by_label("show every copy").check()
        expect(page.locator("#results li")).to_have_count(5)
        expect(page.locator("#results img[src^=blob]")).to_have_count(5)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.screenshot(path=SCREENSHOTS / "search-odd-names.png", full_page=True)
        for number in range(5):
            page.locator("#results button").nth(number).click()
            expect(page.locator("#picture-image")).to_be_visible()
            page.get_by_role("button", name="Close").click()


def test_thumbnails_come_with_the_key(open_page: Open, store: Path):
    with (
        serve(STORE=store, API_KEY=KEY) as server,
        open_page("/#search", base=url_of(server), allowed=(401, 404)) as page,
    ):
        page.locator("#key").fill(KEY)
        page.keyboard.press("Enter")
        page.locator("#search-text").fill("a cat")
        expect(page.locator("#results img[src^=blob]").first).to_be_visible()
        page.locator("#results button").first.click()
        expect(page.locator("#picture-image")).to_be_visible()


def test_a_store_that_is_not_there_or_not_of_this_model(open_page: Open, store: Path, tmp_path: Path):
    for settings, status, words in [
        ({"STORE": tmp_path / "none.lance"}, 503, "the store is not there"),
        ({"STORE": store, "PRECISION": "int8"}, 412, "the store holds vectors of"),
    ]:
        with serve(**settings) as server, open_page("/#search", base=url_of(server), allowed=(status,)) as page:
            page.locator("#search-text").fill("a cat")
            expect(page.locator("#search-error")).to_contain_text(words)
            expect(page.locator("#results li")).to_have_count(0)
