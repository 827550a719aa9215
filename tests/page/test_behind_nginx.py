"""deploy/nginx.conf in a real nginx: the page works below a prefix."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import expect

from ..support.nginx import NGINX, nginx_before
from ..support.server_process import ServerProcess
from .conftest import Open, url_of

pytestmark = pytest.mark.skipif(NGINX is None, reason="no nginx here")


@pytest.fixture(scope="module")
def proxy(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with nginx_before(url_of(server), tmp_path_factory.mktemp("nginx")) as url:
        yield url


def test_the_page_works_below_a_prefix(open_page: Open, proxy: str):
    with open_page(base=proxy) as page:
        expect(page.locator("#matrix td button")).to_have_count(16)
        page.get_by_role("link", name="Embed").click()
        expect(page.locator("[data-language=curl]")).to_contain_text(f"'{proxy}/embeddings'")
        page.goto(f"{proxy}/docs")
        page.locator(".route summary").first.click()
        page.get_by_role("button", name="Send").first.click()
        expect(page.locator(".trial [role=status]").first).to_contain_text("200")


def test_without_its_slash_the_prefix_leads_to_the_page(proxy: str):
    answer = httpx.get(proxy, headers={"Accept": "text/html"}, follow_redirects=True)
    assert str(answer.url) == f"{proxy}/"
    assert re.search("<title>OpenCLIP API</title>", answer.text)


def test_what_the_server_takes_passes_and_what_is_larger_does_not(proxy: str):
    for size, status in [(31_900_000, 422), (33_000_000, 413)]:  # 422: zeros are no image
        answer = httpx.post(
            f"{proxy}/embeddings", content=bytes(size), headers={"Content-Type": "image/png"}, timeout=60
        )
        assert answer.status_code == status
