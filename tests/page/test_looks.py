"""On a phone, in the dark, by keyboard, for a screen reader, without JavaScript."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from .conftest import ROOT, SCREENSHOTS, Open

AXE = ROOT / ".venv-page" / "axe" / "package" / "axe.min.js"
DESK, PHONE = {"width": 1180, "height": 900}, {"width": 375, "height": 720}
READY = {
    "compare": "#matrix td button",
    "classify": "#scores .best",
    "embed": "#vector",
    "api": ".route",
}


def violations(page: Page) -> list[str]:
    """What axe finds against WCAG 2.2 A and AA and its own best practices."""
    if not AXE.exists():
        pytest.skip("no axe: `make page` takes it from npm, where that is installed")
    page.evaluate(AXE.read_text())
    result: dict[str, Any] = page.evaluate("axe.run(document)")
    return [f"{found['id']}: {node['html'][:150]}" for found in result["violations"] for node in found["nodes"]]


@pytest.mark.parametrize("view", READY)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_a_view(open_page: Open, view: str, scheme: Any, viewport: Any):
    name = f"{view}-{scheme}-{'phone' if viewport is PHONE else 'desk'}.png"
    with open_page(f"/#{view}", viewport=viewport, color_scheme=scheme, reduced_motion="reduce") as page:
        expect(page.locator(READY[view]).first).to_be_visible()
        if view == "api":
            page.locator(".route summary").first.click()
            page.get_by_role("button", name="Send").first.click()
            expect(page.locator(".trial [role=status]").first).to_contain_text("200")
        page.screenshot(path=SCREENSHOTS / name, full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 22, 23)"
        assert dark == (scheme == "dark")
        assert violations(page) == []


def test_axe_would_find_something(open_page: Open):
    with open_page() as page:
        page.locator("#compare-texts").evaluate("area => area.labels[0].remove()")
        assert [found for found in violations(page) if found.startswith("label")]


def test_without_javascript_it_says_so(open_page: Open):
    with open_page(java_script_enabled=False) as page:
        expect(page.get_by_role("heading", name="This page needs JavaScript")).to_be_visible()
        expect(page.locator("noscript pre")).to_contain_text("curl http://127.0.0.1:7860/embeddings")
        expect(page.get_by_role("navigation")).to_be_hidden()
        page.screenshot(path=SCREENSHOTS / "no-javascript.png")


def test_the_key_form_in_words_for_a_screen_reader(open_page: Open):
    from .conftest import serve, url_of

    with serve(API_KEY="k") as server, open_page(base=url_of(server), allowed=(401,), viewport=PHONE) as page:
        expect(page.get_by_label("API key", exact=True)).to_be_focused()
        page.screenshot(path=SCREENSHOTS / "key.png")
        assert violations(page) == []


def test_all_is_reached_by_the_tab_key_in_reading_order(open_page: Open):
    with open_page() as page:
        expect(page.locator("#matrix td button")).to_have_count(16)
        reached = []
        for _ in range(40):
            page.keyboard.press("Tab")
            where = (
                "document.activeElement.id || document.activeElement.getAttribute('href') || document.activeElement."
            )
            reached.append(page.evaluate(where + "closest('[id]')?.id"))
        steps = list(dict.fromkeys(reached))
        wanted = ["#main", "#compare", "#classify", "#embed", "#api", "compare-pictures", "compare-texts", "matrix"]
        assert [step for step in steps if step in wanted] == wanted


def test_the_skip_link_leads_past_the_top(open_page: Open):
    with open_page() as page:
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
        page.keyboard.press("Enter")
        expect(page.locator("#main")).to_be_focused()
        expect(page.locator("#compare")).to_be_visible()


def test_nothing_moves_for_who_wants_it_still(open_page: Open):
    with open_page("/#classify", reduced_motion="reduce") as page:
        expect(page.locator("#scores .best")).to_be_visible()
        transition = "getComputedStyle(document.querySelector('.meter'), '::after').transitionDuration"
        assert page.evaluate(transition) == "0s"
