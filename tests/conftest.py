from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import skimage.data
from PIL import Image

from .golden.shrunk import shrink
from .support.server_process import ServerProcess
from .support.tiny_checkpoint import write_tiny_checkpoint

Encode = Callable[..., bytes]


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
def server(tiny: Path) -> Iterator[ServerProcess]:
    """A running server on the small checkpoint, with low limits."""
    limits = {"MAX_ITEMS": 8, "MAX_BODY_MB": 4, "MAX_IMAGE_MEGAPIXELS": 2}
    with ServerProcess(MODEL_NAME=f"local-dir:{tiny}", PRECISION="fp32", **limits) as process:
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
