"""deploy/nginx.conf in a real nginx: the page works below a prefix."""

from __future__ import annotations

import getpass
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from ..support.server_process import ServerProcess
from .conftest import ROOT, Open, url_of
from .test_errors import free_port

NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
pytestmark = pytest.mark.skipif(NGINX is None, reason="no nginx here")


@pytest.fixture(scope="module")
def proxy(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("nginx")
    location = (ROOT / "deploy" / "nginx.conf").read_text().replace("http://127.0.0.1:7860", url_of(server))
    port = free_port()
    kept = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"user {getpass.getuser()}; daemon off; pid {folder}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; {kept} server {{ listen 127.0.0.1:{port};\n{location}\n}} }}"
    )
    nginx = subprocess.Popen([str(NGINX), "-c", folder / "nginx.conf", "-e", "stderr"])
    try:
        for _ in range(300):
            try:
                httpx.get(f"http://127.0.0.1:{port}/clip/health").raise_for_status()
                break
            except httpx.TransportError:
                assert nginx.poll() is None
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/clip"
    finally:
        nginx.terminate()
        nginx.wait(30)


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
