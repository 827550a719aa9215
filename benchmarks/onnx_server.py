"""CLIP as most people serve it: an ONNX export in a plain FastAPI server, one request at a time through the model.

python onnx_server.py FOLDER PORT ENGINE: FOLDER has onnx_export.py's files and tokenizer.json; ENGINE is fp32 or int8
on onnxruntime, or openvino, which reads the same fp32 files.
"""

from __future__ import annotations

import base64
import io
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import uvicorn
from fastapi import FastAPI
from PIL import Image
from pydantic import BaseModel
from tokenizers import Tokenizer

folder, port, engine = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
CONTEXT = 77
app = FastAPI()


def tower(name: str) -> Callable[[np.ndarray], np.ndarray]:
    if engine == "openvino":
        import openvino

        compiled = openvino.compile_model(folder / f"{name}.onnx", "CPU")
        of_thread = threading.local()

        def run(batch: np.ndarray) -> np.ndarray:
            if not hasattr(of_thread, "request"):  # one must not run twice at once
                of_thread.request = compiled.create_infer_request()
            return of_thread.request.infer([batch])[0]

        return run
    import onnxruntime

    file = folder / f"{name}{'-int8' if engine == 'int8' else ''}.onnx"
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda batch: session.run(None, {session.get_inputs()[0].name: batch})[0]


image_tower, text_tower = tower("image"), tower("text")
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.enable_truncation(CONTEXT)


class Request(BaseModel):
    text: str | list[str] | None = None
    image: str | list[str] | None = None


def as_list(value: str | list[str] | None) -> list[str]:
    return value if isinstance(value, list) else [] if value is None else [value]


def ids_of(texts: list[str]) -> np.ndarray:
    ids = np.zeros((len(texts), CONTEXT), np.int64)
    for row, encoded in zip(ids, tokenizer.encode_batch(texts), strict=True):
        row[: len(encoded.ids)] = encoded.ids
    return ids


def pixels_of(image: str) -> np.ndarray:
    """CLIP's own preprocessing: the short side to 224, the middle, normalised."""
    picture = Image.open(io.BytesIO(base64.b64decode(image))).convert("RGB")
    scale = 224 / min(picture.size)
    picture = picture.resize([round(side * scale) for side in picture.size], Image.Resampling.BICUBIC)
    left, top = ((side - 224) // 2 for side in picture.size)
    pixels = np.asarray(picture.crop((left, top, left + 224, top + 224)), np.float32) / 255
    return ((pixels - MEAN) / STD).transpose(2, 0, 1)


@app.get("/ready")
def ready() -> dict[str, str]:
    return {"status": "ready"}


@app.post("/embeddings")
def embeddings(request: Request) -> dict[str, object]:
    vectors: list[list[float]] = []
    if texts := as_list(request.text):
        vectors += text_tower(ids_of(texts)).tolist()
    if images := as_list(request.image):
        vectors += image_tower(np.stack([pixels_of(image) for image in images])).tolist()
    return {"embeddings": vectors}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
