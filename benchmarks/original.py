"""The original OpenCLIP-API's way, as a reference: open_clip and torch, one item at a time, in FastAPI's thread pool.

python original.py FOLDER PORT
"""

from __future__ import annotations

import base64
import io
import sys
import time

import open_clip
import torch
import uvicorn
from fastapi import FastAPI
from PIL import Image
from pydantic import BaseModel

folder, port = sys.argv[1], int(sys.argv[2])
model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
model.eval()
app = FastAPI()


class Request(BaseModel):
    text: str | list[str] | None = None
    image: str | list[str] | None = None


def as_list(value: str | list[str] | None) -> list[str]:
    return value if isinstance(value, list) else [] if value is None else [value]


@app.get("/ready")
def ready() -> dict[str, str]:
    return {"status": "ready"}


@app.post("/embeddings")
def embeddings(request: Request) -> dict[str, object]:
    started = time.perf_counter()
    vectors = []
    with torch.inference_mode():
        for text in as_list(request.text):
            vectors.append(model.encode_text(tokenizer([text]))[0].tolist())
        for image in as_list(request.image):
            pixels = preprocess(Image.open(io.BytesIO(base64.b64decode(image))))
            vectors.append(model.encode_image(pixels.unsqueeze(0))[0].tolist())
    return {"embeddings": vectors, "duration": time.perf_counter() - started}


uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
