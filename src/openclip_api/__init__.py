"""OpenCLIP embeddings without torch.

>>> import openclip_api
>>> embedder = openclip_api.load("ViT-B-32", "laion2b_s34b_b79k")
>>> embedder.embed_texts(["red sofa"]).shape
(1, 512)
"""

import importlib
import sys
import typing

if typing.TYPE_CHECKING:
    from .errors import OpenClipApiError, RequestError, StartupError
    from .runtime.embedder import Embedder
    from .runtime.embedding import ModelInfo
    from .runtime.loader import load

# Importing openvino imports this package, which reports the import to an analytics service and writes
# into the home directory; without it openvino uses its own stub.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

__all__ = ["Embedder", "ModelInfo", "OpenClipApiError", "RequestError", "StartupError", "load"]
__version__ = "0.1.0"

_PLACES = {"Embedder": "runtime.embedder", "ModelInfo": "runtime.embedding", "load": "runtime.loader"}


def __getattr__(name: str) -> typing.Any:
    """Imported when first asked for: a process that only decodes images needs no OpenVINO."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_PLACES.get(name, 'errors')}", __name__), name)
