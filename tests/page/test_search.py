"""Search, where the server has a store; without one the view is not there."""

from __future__ import annotations

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


def test_without_a_store_there_is_no_such_view(open_page: Open):
    with open_page() as page:
        expect(page.locator("#matrix td button")).to_have_count(16)
        expect(page.get_by_role("link", name="Search")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_by_text_by_image_and_by_a_result(
    open_page: Open, searching: ServerProcess, scheme: str, viewport: dict[str, int]
):
    name = f"search-{scheme}-{'phone' if viewport is PHONE else 'desk'}.png"
    found = searching.http.post("/search", json={"text": "a penguin", "k": 24}).json()["results"]
    with open_page(base=url_of(searching), allowed=(404,), viewport=viewport, color_scheme=scheme) as page:
        page.get_by_role("link", name="Search").click()
        page.locator("#search-text").fill("a penguin")
        names = page.locator("#results .name")
        expect(names).to_have_text([row["id"] for row in found])
        expect(page.locator("#results .hint").first).to_have_text(f"{found[0]['score']:.4f}")
        expect(page.locator("#results img[src^=blob]")).to_have_count(24 - sum("words" in row["id"] for row in found))
        page.screenshot(path=SCREENSHOTS / name, full_page=True)
        assert violations(page) == []
        expect(page.locator("#results button:disabled img")).to_have_count(0)  # nothing to show of a text
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

        page.locator("#results button:enabled").nth(1).click()
        expect(page.locator("#search-text")).to_have_value("")
        chosen = page.locator("#search-pictures .name").inner_text()
        expect(names.first).to_have_text(chosen)  # most like itself
        page.locator("#search-pictures").get_by_role("button", name="a slice of pizza").click()
        expect(names.first).to_have_text("pizza.png")
        page.locator("#search-text").fill("a yellow rubber duck")
        expect(page.locator("#search-pictures .name")).to_have_count(0)
        expect(page.locator("#results button", has_text="words.txt:1")).to_be_disabled()


def test_thumbnails_come_with_the_key(open_page: Open, store: Path):
    with (
        serve(STORE=store, API_KEY=KEY) as server,
        open_page("/#search", base=url_of(server), allowed=(401, 404)) as page,
    ):
        page.locator("#key").fill(KEY)
        page.keyboard.press("Enter")
        page.locator("#search-text").fill("a cat")
        expect(page.locator("#results img[src^=blob]").first).to_be_visible()


def test_a_store_that_is_not_there_or_not_of_this_model(open_page: Open, store: Path, tmp_path: Path):
    for settings, status, words in [
        ({"STORE": tmp_path / "none.lance"}, 503, "the store is not there"),
        ({"STORE": store, "PRECISION": "int8"}, 412, "the store holds vectors of"),
    ]:
        with serve(**settings) as server, open_page("/#search", base=url_of(server), allowed=(status,)) as page:
            page.locator("#search-text").fill("a cat")
            expect(page.locator("#search-error")).to_contain_text(words)
            expect(page.locator("#results li")).to_have_count(0)
