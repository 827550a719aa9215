"""Tiny models, images and strings, and what open_clip makes of them: see README.md."""

import json
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent
MODELS = {path.name: path for path in sorted((GOLDEN / "models").iterdir())}
TRANSFORMERS = {path.name: path for path in sorted((GOLDEN / "transformers").iterdir())}
FOLDERS = MODELS | {f"transformers_{name}": path for name, path in TRANSFORMERS.items()}
IMAGES = {path.name: path.read_bytes() for path in sorted((GOLDEN / "images").iterdir())}
TEXTS: dict[str, list[str]] = json.loads((GOLDEN / "texts.json").read_text())


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as archive:
        return dict(archive)
