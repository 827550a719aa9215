"""Each of the things the page is for."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from ..support.server_process import ServerProcess
from .conftest import PYTHON, ROOT, Open, image_vector, url_of, vector

SAMPLES = ROOT / "samples"
PNG = (SAMPLES / "cat.png").read_bytes()


def test_the_top_tells_which_model_runs(open_page: Open, server: ServerProcess):
    info = server.http.get("/info").json()
    with open_page() as page:
        expect(page.locator("#state")).to_have_text("Ready")
        for told in (info["model_id"], str(info["embed_dim"]), info["precision"], info["device"], info["fingerprint"]):
            expect(page.locator("#facts")).to_contain_text(told)
        expect(page.locator("#advice")).to_contain_text("emoji, icons and clip art")


def test_compare_starts_with_samples_and_shows_the_exact_cosines(open_page: Open, server: ServerProcess):
    logit_scale = server.http.get("/info").json()["logit_scale"]
    with open_page() as page:
        cells = page.locator("#matrix td button")
        expect(cells).to_have_count(16)
        texts = page.locator("#compare-texts").input_value().splitlines()
        images = [image.get_attribute("alt") for image in page.locator("#matrix th img").all()]
        for i, text in enumerate(texts):
            for j, image in enumerate(images):
                cosine = vector(server, text=text, normalize=True) @ image_vector(server, str(image))
                cell = cells.nth(4 * i + j)
                label = str(cell.get_attribute("aria-label"))
                assert float(re.findall(r"cosine (-?[\d.]+)", label)[0]) == pytest.approx(cosine, abs=2e-6)
                assert float(cell.inner_text()) == pytest.approx(logit_scale * cosine, abs=0.051)
        best = [cell.evaluate("cell => cell.cellIndex") for cell in page.locator("#matrix td.best").all()]
        assert sorted(best) == [1, 2, 3, 4]  # one for each image


def test_compare_shows_a_cell_s_details_by_pointer_and_by_keys(open_page: Open):
    with open_page() as page:
        cells = page.locator("#matrix td button")

        def expect_details_of(index: int) -> None:
            label = str(cells.nth(index).get_attribute("aria-label"))  # the value, and what the details say
            expect(page.locator("#compare-detail")).to_have_text(label.partition(": ")[2])

        cells.nth(5).hover()
        expect_details_of(5)
        cells.nth(0).focus()
        for key, index in [("ArrowRight", 1), ("ArrowDown", 5), ("ArrowLeft", 4), ("ArrowUp", 0), ("ArrowUp", 0)]:
            page.keyboard.press(key)
            expect(cells.nth(index)).to_be_focused()
            expect_details_of(index)
        assert page.locator("#matrix td button[tabindex='0']").count() == 1


def test_images_come_by_file_by_drop_by_paste_and_go(open_page: Open):
    give = """([kind, bytes]) => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(bytes)], `${kind}.png`, {type: "image/png"}));
      const event = kind === "paste" ? new ClipboardEvent("paste", {clipboardData: data, bubbles: true})
        : new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true});
      document.getElementById("compare-pictures").dispatchEvent(event);
    }"""
    with open_page() as page:
        names = page.locator("#compare-pictures .name")
        expect(names).to_have_count(4)
        page.get_by_role("button", name="Remove all").click()
        expect(names).to_have_count(0)
        page.locator("#compare-pictures input").set_input_files(SAMPLES / "rocket.png")
        for kind in ("paste", "drop"):
            page.evaluate(give, [kind, list(PNG)])
        expect(names).to_have_text(["rocket.png", "paste.png", "drop.png"])
        expect(page.locator("#matrix td button")).to_have_count(12)
        page.get_by_role("button", name="Remove paste.png").click()
        expect(names).to_have_text(["rocket.png", "drop.png"])
        expect(page.locator("#matrix td button")).to_have_count(8)
        page.locator("#compare-texts").fill("")
        expect(page.locator("#matrix caption")).to_have_text("Cosines")
        expect(page.locator("#matrix td button").first).to_have_text("1.00")


def test_only_what_is_new_is_asked_for(open_page: Open):
    with open_page() as page:
        expect(page.locator("#matrix td button")).to_have_count(16)
        asked: list[str | None] = []
        page.on("request", lambda request: asked.append(request.post_data))
        page.locator("#compare-texts").press("Control+End")
        page.locator("#compare-texts").press_sequentially("\nfire")
        expect(page.locator("#matrix td button")).to_have_count(20)
        assert {text for body in asked for text in json.loads(str(body))["text"]} <= {"f", "fi", "fir", "fire"}


def test_samples_do_not_come_after_what_a_visitor_was_faster_to_give(open_page: Open):
    with open_page() as page:
        page.route("**/page/samples/*", lambda route: (page.wait_for_timeout(300), route.continue_()))
        page.reload(wait_until="domcontentloaded")
        page.locator("#compare-pictures input").set_input_files(SAMPLES / "rocket.png")
        expect(page.locator("#matrix th img")).to_have_count(1)
        page.wait_for_load_state("networkidle")
        expect(page.locator("#compare-pictures .name")).to_have_text(["rocket.png"])


@pytest.mark.parametrize(("view", "shown"), [("compare", "#matrix tbody th"), ("classify", "#scores li")])
def test_an_image_given_before_the_model_is_ready_meets_the_sample_texts(open_page: Open, view: str, shown: str):
    with open_page(f"/#{view}") as page:
        page.route("**/ready", lambda route: (page.wait_for_timeout(500), route.continue_()))
        page.reload(wait_until="domcontentloaded")
        page.locator(f"#{view}-pictures input").set_input_files(SAMPLES / "rocket.png")
        expect(page.locator(shown)).to_have_count(4)
        expect(page.locator(f"#{view}-pictures .name")).to_have_text(["rocket.png"])


def test_names_and_texts_are_never_read_as_html(open_page: Open):
    evil = "<img src=x onerror=alert(1)>"
    with open_page() as page:
        page.locator("#compare-pictures input").set_input_files(
            {"name": f"{evil}.png", "mimeType": "image/png", "buffer": PNG}
        )
        page.locator("#compare-texts").fill(f"{evil}\n<b>bold</b>")
        expect(page.locator("#matrix tbody th")).to_have_text([evil, "<b>bold</b>"])
        expect(page.locator("#compare-pictures .name").last).to_have_text(f"{evil}.png")
        page.goto(page.url.split("#")[0] + "#classify")
        page.locator("#label").fill(f"{evil},")
        expect(page.locator("#labels li").last).to_contain_text(evil)
        expect(page.locator("#scores .name").last).to_have_text(evil)
        assert page.locator("img[src=x], main b").count() == 0


def test_classify_moves_while_a_label_is_typed(open_page: Open, server: ServerProcess):
    with open_page("/#classify") as page:
        scores = page.locator("#scores li")
        expect(scores).to_have_count(4)
        expect(page.locator("#scores .best")).to_contain_text("a dog")
        page.locator("#label").press_sequentially("a pizza")
        expect(scores).to_have_count(5)  # before it is kept
        expect(page.locator("#labels li")).to_have_count(4)
        page.keyboard.press("Enter")
        expect(page.locator("#labels li")).to_have_count(5)
        page.locator("#classify-pictures").get_by_role("button", name="a slice of pizza").click()
        expect(page.locator("#scores .best")).to_contain_text("a pizza")  # "a dog" until the answer is there
        page.get_by_role("button", name="Remove a dog").click()
        expect(scores).to_have_count(4)
        expect(page.locator("#classify-status")).to_contain_text("Best: a pizza")
        shown = [float(value.removesuffix(" %")) for value in page.locator("#scores .value").all_inner_texts()]
        assert sum(shown) == pytest.approx(100, abs=0.3)
        widths = page.locator("#scores li").evaluate_all(
            "rows => rows.map(row => 100 * Number(row.style.getPropertyValue('--score')))"
        )
        assert widths == pytest.approx(shown, abs=0.06)


def test_classify_waits_for_a_pause_and_calls_back_what_is_late(open_page: Open):
    slow = ServerProcess(str(PYTHON), "-m", "tests.support.fake_server", FAKE_BATCH_SECONDS=0.7, TEXT_CACHE_MB=0)
    with slow as server, open_page("/#classify", base=url_of(server)) as page:
        expect(page.locator("#scores li")).to_have_count(4)
        asked: list[str] = []
        called_back: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("requestfailed", lambda request: called_back.append(str(request.failure)))
        page.locator("#label").press_sequentially("a very long label")
        expect(page.locator("#scores li")).to_have_count(5)
        assert 1 <= len(asked) < 17
        with page.expect_request("**/classify"):
            page.locator("#label").fill("one")
        page.locator("#label").fill("another")
        expect(page.locator("#scores .name").last).to_have_text("another")
        assert called_back
        assert set(called_back) == {"net::ERR_ABORTED"}


def test_one_of_several_models_is_picked(open_page: Open, browser: Any, tmp_path: Path):
    from .conftest import serve

    folder = tmp_path / "second"
    shutil.copytree(ROOT / "src" / "openclip_api" / "checkpoints" / "builtin" / "emoji", folder)
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["mean"] = [0.3, 0.3, 0.3]  # another fingerprint
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with serve(MODELS=f"emoji,local-dir:{folder}") as server, open_page(base=url_of(server)) as page:
        expect(page.locator("#matrix td button")).to_have_count(16)
        before = page.locator("#matrix td button").all_inner_texts()
        first = page.locator("#facts code").inner_text()
        page.get_by_label("Model", exact=True).select_option(f"local-dir:{folder}")
        expect(page.locator("#facts code")).not_to_have_text(first)
        cells = page.locator("#matrix td button")
        expect(cells).not_to_have_text(before)
        expect(cells).to_have_count(16)


def _shown(page: Page) -> str:
    return page.locator("main section:not([hidden])").get_attribute("id") or ""


def test_the_address_names_the_view(open_page: Open):
    with open_page("/#embed") as page:
        assert _shown(page) == "embed"
        page.get_by_role("link", name="Classify").click()
        expect(page.locator("#classify")).to_be_visible()
        assert _shown(page) == "classify"
        expect(page).to_have_title("Classify · OpenCLIP API")
        page.go_back()
        expect(page.locator("#embed")).to_be_visible()
