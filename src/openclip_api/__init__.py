"""OpenCLIP embeddings without torch.

>>> import openclip_api
>>> embedder = openclip_api.load("ViT-B-32", "laion2b_s34b_b79k")
>>> embedder.embed_texts(["red sofa"]).shape
(1, 512)
"""

import sys

# Importing openvino imports this package, which reports the import to an analytics service and writes
# into the home directory; without it openvino uses its own stub.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

from .embedder import Embedder, ModelInfo  # noqa: E402
from .errors import OpenClipApiError, RequestError, StartupError  # noqa: E402
from .loader import load  # noqa: E402

__all__ = ["Embedder", "ModelInfo", "OpenClipApiError", "RequestError", "StartupError", "load"]
__version__ = "0.1.0"
