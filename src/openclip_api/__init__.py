"""OpenCLIP embeddings without torch.

>>> import openclip_api
>>> embedder = openclip_api.load("ViT-B-32", "laion2b_s34b_b79k")
>>> embedder.embed_texts(["red sofa"]).shape
(1, 512)
"""

from .embedder import Embedder, ModelInfo, load
from .errors import OpenClipApiError, RequestError, StartupError

__all__ = ["Embedder", "ModelInfo", "OpenClipApiError", "RequestError", "StartupError", "load"]
__version__ = "0.1.0"
