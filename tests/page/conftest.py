"""The page in a real browser against the real server. They have a venv of their own: see `make page`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ..support.repository import ROOT
from ..support.server_process import ServerProcess

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PYTHON = ROOT / ".venv" / "bin" / "python"  # where the server is installed
SCREENSHOTS = ROOT / "build" / "page"

# Where Playwright is not installed, as in .venv, there is nothing to collect.
collect_ignore_glob = [] if find_spec("playwright") else ["test_*.py"]

Open = Callable[..., AbstractContextManager[Any]]


def serve(**settings: Any) -> ServerProcess:
    return ServerProcess(str(PYTHON), "-m", "openclip_api", "serve", **({"MODEL_NAME": "emoji"} | settings))


def url_of(server: ServerProcess) -> str:
    return str(server.http.base_url).rstrip("/")


@pytest.fixture(scope="session")
def server() -> Iterator[ServerProcess]:
    with serve() as process:
        yield process
        assert process.stop() == 0


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=30_000)

    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    assert program, "Chromium is needed: apt-get install chromium, or its path in CHROMIUM"
    quiet = ["background-networking", "component-update", "sync", "gpu"]
    arguments = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in quiet)]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def open_page(browser: Browser, server: ServerProcess) -> Open:
    """open_page("/#embed", viewport=...): a page in a browser that knows nothing yet.

    At its end it must have asked nothing of another origin, and told no errors but HTTP statuses in `allowed`.
    """

    @contextmanager
    def opened(path: str = "/", base: str = "", allowed: tuple[int, ...] = (), **options: Any) -> Iterator[Page]:
        base = base or url_of(server)
        context = browser.new_context(**({"viewport": {"width": 1180, "height": 900}} | options))
        context.set_default_timeout(30_000)
        page = context.new_page()
        errors: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: errors.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(f"dialog {dialog.message}"))
        page.on("request", lambda request: asked.append(request.url))
        try:
            page.goto(base + path)
            yield page
            expected = [f"status of {status} " for status in allowed]
            assert [error for error in errors if not any(part in error for part in expected)] == []
            assert [url for url in asked if not url.startswith((f"{base}/", "data:", "blob:"))] == []
        finally:
            context.close()

    return opened


@pytest.fixture(scope="session", autouse=True)
def _screenshots_of_this_run() -> None:
    shutil.rmtree(SCREENSHOTS, ignore_errors=True)
    SCREENSHOTS.mkdir(parents=True)


def vector(server: ServerProcess, **body: Any) -> np.ndarray:
    return np.array(server.http.post("/embeddings", json=body).json()["embeddings"][0])


def image_vector(server: ServerProcess, name: str) -> np.ndarray:
    content = (ROOT / "samples" / name).read_bytes()
    answer = server.http.post("/embeddings?normalize=true", content=content, headers={"Content-Type": "image/png"})
    return np.array(answer.json()["embeddings"][0])
