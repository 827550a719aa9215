"""Size and speed of the models that people choose, with random weights → MODELS.md and the table in docs/models.md.

models.py                        all, one after the other, each in a process of its own
models.py measure NAME FOLDER    one that lies in FOLDER; prints a line of JSON
models.py report FILE            the tables again, from a file with such lines

Needs the venv of `make parity` for the shapes; the measurement itself runs without torch.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
from bare import rate
from captions import short_captions
from report import processor, table
from safetensors import safe_open

import openclip_api
from openclip_api.checkpoints.sources import BUILTIN

HERE = Path(__file__).parent
WITH_TORCH = HERE.parent / ".venv-parity" / "bin" / "python"
DOCUMENT = HERE.parent / "docs" / "models.md"
START, END = "<!-- choosing: written by benchmarks/models.py -->\n", "<!-- end of choosing -->\n"
SECONDS = 4.0
BASE = "ViT-B-32"
RATES = ("image", "images", "text", "texts")

# A tag that people choose, of each.
MODELS = {
    "emoji": "",
    "MobileCLIP2-S0": "dfndr2b",
    "MobileCLIP2-S2": "dfndr2b",
    "RN50": "openai",
    BASE: "laion2b_s34b_b79k",
    "ViT-B-32-256": "datacomp_s34b_b86k",
    "xlm-roberta-base-ViT-B-32": "laion5b_s13b_b90k",
    "ViT-B-16": "datacomp_xl_s13b_b90k",
    "EVA02-B-16": "merged2b_s8b_b131k",
    "convnext_base_w": "laion2b_s13b_b82k_augreg",
    "ViT-B-16-SigLIP": "webli",
    "ViT-B-16-SigLIP2": "webli",
    "ViT-L-14": "datacomp_xl_s13b_b90k",
    "ViT-SO400M-14-SigLIP": "webli",
    "ViT-H-14": "laion2b_s32b_b79k",
}


def measure(name: str, folder: str) -> dict[str, object]:
    """Items a second of the engine alone, at the precision that this CPU gets by default."""
    with closing(openclip_api.load(name if name in BUILTIN else f"local-dir:{folder}")) as embedder:
        engine, tokenizer, info = embedder._engine, embedder._tokenizer, embedder.info
        pixels = np.random.default_rng(0).integers(0, 256, (8, info.image_size, info.image_size, 3), np.uint8)
        ids = np.stack([tokenizer(text).ids for text in short_captions(8)])
        measured = {
            "image": rate(engine.encode_images, [pixels[:1]], SECONDS),
            "images": 8 * rate(engine.encode_images, [pixels], SECONDS),
            "text": rate(engine.encode_texts, [ids[:1]], SECONDS),
            "texts": 8 * rate(engine.encode_texts, [ids], SECONDS),
            "resident_mb": resident_mb(),
        }
    return {
        "name": name,
        "dimension": info.embed_dim,
        "pixels": info.image_size,
        "context": info.context_length,
        "parameters": parameters(folder),
        "precision": info.precision,
        **measured,
    }


def parameters(folder: str) -> int:
    """Floating-point numbers in the checkpoint."""
    with safe_open(Path(folder) / "open_clip_model.safetensors", "np") as file:
        return sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118


def resident_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1000


def measure_all(results: Path) -> None:
    with results.open("w") as out:
        for name in MODELS:
            with tempfile.TemporaryDirectory() as folder:
                path = folder
                if name in BUILTIN:
                    path = str(Path(openclip_api.__file__).parent / "checkpoints" / "builtin" / name)
                else:
                    subprocess.run([WITH_TORCH, HERE / "random_model.py", name, folder], check=True)
                command = [sys.executable, __file__, "measure", name, path]
                out.write(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                out.flush()
            print(name, flush=True)


def write(results: Path) -> None:
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    rows = [best([line for line in lines if line["name"] == name]) for name in MODELS]
    (HERE / "MODELS.md").write_text(page(rows))
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    DOCUMENT.write_text(before + START + choosing(rows) + END + rest.partition(END)[2], encoding="utf-8")


def best(rounds: list[dict]) -> dict:
    """Of several rounds the greatest rates: other work on the machine makes them smaller only."""
    return rounds[0] | {kind: max(row[kind] for row in rounds) for kind in RATES}


def choosing(rows: list[dict]) -> str:
    """Times as fast as the base, where more is better."""
    base = next(row for row in rows if row["name"] == BASE)
    header = ["name", "tag", "dim", "px", "tokens", "million parameters", "MB fp32", "MB fp16", "memory, MB"]
    header += ["1 image", "8 images", "8 texts"]
    cells = [
        [
            row["name"], MODELS[row["name"]], row["dimension"], row["pixels"], row["context"],
            f"{row['parameters'] / 1e6:.0f}", f"{4 * row['parameters'] / 1e6:,.0f}",
            f"{2 * row['parameters'] / 1e6:,.0f}", f"{row['resident_mb']:,.0f}",
            *(f"{row[kind] / base[kind]:.2g}" for kind in ("image", "images", "texts")),
        ]
        for row in rows
    ]  # fmt: skip
    speed = f"{BASE} itself did {figures(base)}.\nMeasured on {cpu()}, in {base['precision']}.\n"
    return f"{table(header, cells)}\n\n{speed}"


def figures(row: dict) -> str:
    return (
        f"{rounded(row['image'])} images a second one at a time, {rounded(row['images'])} in batches of eight, "
        f"and {rounded(row['texts'])} short texts in batches of eight"
    )


def rounded(value: float) -> str:
    """To three digits."""
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else f"{value:.3g}"


def page(rows: list[dict]) -> str:
    header = ["model", "an image", "8 images", "a short text", "8 short texts", "MB resident"]
    cells = [
        [
            row["name"],
            *(rounded(row[kind]) for kind in RATES),
            f"{row['resident_mb']:.0f}",
        ]
        for row in rows
    ]
    return f"""# The models

Written by `benchmarks/models.py` on {time.strftime("%Y-%m-%d")}. To measure all models again, one after the other:

    make .venv/runtime .venv-parity/installed
    .venv/bin/python benchmarks/models.py

Measured on {cpu()}, in {rows[0]["precision"]}, with random weights at full size. The figures are
items per second of the engine alone: the best of the rounds, each the median of {SECONDS:.0f} seconds. A short text has
three to seven words. The last column is the memory that the process then holds.

{table(header, cells)}
"""


def cpu() -> str:
    name, units = processor()
    return f"{os.cpu_count()} cores of an {name} with {next(unit for unit in units if unit != 'amx_int8')}"


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["measure", name, folder]:
            print(json.dumps(measure(name, folder)))
        case ["report", file]:
            write(Path(file))
        case []:
            file = HERE.parent / "build" / "models.jsonl"
            file.parent.mkdir(exist_ok=True)
            measure_all(file)
            write(file)
        case _:
            sys.exit(__doc__)
