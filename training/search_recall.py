"""Text search end to end on the vendor the model never saw: pictures → openclip-api index → Store.search.

python training/search_recall.py, in the runtime's venv with the search extra, after render.py.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from concepts import load_concepts
from paths import PIXELS
from PIL import Image

import openclip_api
from openclip_api.search.store import Store

VENDOR = "openmoji"


def on_white(pixels: np.ndarray) -> Image.Image:
    solid = pixels.astype(np.float32)
    solid[:3] *= 255 / np.maximum(solid[3:], 1)  # the cache holds premultiplied colours
    art = Image.fromarray(solid.clip(0, 255).round().astype(np.uint8).transpose(1, 2, 0), "RGBA")
    return Image.alpha_composite(Image.new("RGBA", art.size, "white"), art).convert("RGB")


def main() -> None:
    concepts = load_concepts()
    shown, rows = np.unique(np.load(PIXELS / f"{VENDOR}.concepts.npy"), return_index=True)
    pixels = np.load(PIXELS / f"{VENDOR}.npy", mmap_mode="r")
    with tempfile.TemporaryDirectory() as folder:
        pictures, store = Path(folder) / "pictures", Path(folder) / "pictures.lance"
        pictures.mkdir()
        for concept, row in zip(shown, rows, strict=True):
            on_white(pixels[row]).save(pictures / f"{concept}.png")
        command = ["index", str(pictures), "--store", str(store), "--model-name", "emoji", "--precision", "fp32"]
        subprocess.run([sys.executable, "-m", "openclip_api", *command, "--progress", "quiet"], check=True)
        embedder = openclip_api.load("emoji", precision="fp32")
        queries = embedder.embed_texts([concepts[concept].name for concept in shown])
        found = [[row["id"] for row in Store(store).search(query, 10)] for query in queries]
        hits = [f"{concept}.png" in ids for concept, ids in zip(shown, found, strict=True)]
        first = [f"{concept}.png" == ids[0] for concept, ids in zip(shown, found, strict=True)]
        print(f"{len(hits)} pictures: recall@1 {100 * np.mean(first):.1f} %, recall@10 {100 * np.mean(hits):.1f} %")
        embedder.close()


if __name__ == "__main__":
    main()
