from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import skimage.data
from PIL import Image

from .golden.shrunk import shrink
from .support.no_process import NoProcess
from .support.server_in_process import ServerInProcess, build_app, serve_in_process
from .support.server_process import ServerProcess
from .support.tiny_checkpoint import write_tiny_checkpoint

Encode = Callable[..., bytes]
NO_PROCESS = NoProcess()
MAY_START_PROCESSES = ("process", "package", "chaos", "fuzz", "cost", "image", "deployment")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="no test that is marked process or slow; see CONTRIBUTING.md")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    is_quick = config.getoption("--quick")
    processes = {"hub", "lasting"} | (set() if is_quick else {"server"})  # who asks a hub does so from a new process
    for item in items:
        if processes.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("process")
    if not is_quick:
        return
    left_out = {item for item in items if any(map(item.get_closest_marker, ("slow", *MAY_START_PROCESSES)))}
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    with nullcontext() if any(map(item.get_closest_marker, MAY_START_PROCESSES)) else NO_PROCESS.watching():
        return (yield)


pytest_runtest_call = pytest_runtest_setup


@pytest.fixture(scope="session", autouse=True)
def _golden_models_as_they_were_written() -> Iterator[None]:
    """Timm towers shrunk, and Hugging Face encoders named by their folder's path from the repository's root."""
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        patch.chdir(Path(__file__).parents[1])
        yield


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small random checkpoint."""
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "tiny-clip")


@pytest.fixture(scope="session")
def server(tiny: Path, request: pytest.FixtureRequest) -> Iterator[ServerProcess | ServerInProcess]:
    """A running server on the small checkpoint, with low limits; the application without a process in `make quick`."""
    limits = {"MAX_TEXTS": 8, "MAX_PROMPTS": 64, "MAX_ITEMS": 8, "MAX_BODY_MB": 4}
    limits["MAX_IMAGE_MEGAPIXELS"] = 2
    settings = {"MODEL_NAME": f"local-dir:{tiny}", "PRECISION": "fp32", **limits}
    if request.config.getoption("--quick"):
        with serve_in_process(build_app(**settings)) as server:
            yield server
        return
    with ServerProcess(**settings) as process:
        yield process
        assert process.stop() == 0


@pytest.fixture(scope="session")
def photo() -> Encode:
    """Photographs that scikit-image ships, as encoded files: photo("astronaut", "JPEG", size=(64, 48))."""

    def encode(name: str = "astronaut", format: str = "JPEG", size: tuple[int, int] | None = None) -> bytes:
        image = Image.fromarray(getattr(skimage.data, name)())
        file = io.BytesIO()
        (image.resize(size) if size else image).save(file, format)
        return file.getvalue()

    return encode
