"""Where the training's files lie. Everything under CACHE can be deleted and made again."""

from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE / ".cache"
PACKAGES = CACHE / "npm"
PIXELS = CACHE / "pixels"
RUNS = CACHE / "runs"
START = CACHE / "start"  # the model whose text tower training begins with
BUILTIN = HERE.parent / "src" / "openclip_api" / "checkpoints" / "builtin" / "emoji"
SAMPLES = HERE.parent / "samples"
