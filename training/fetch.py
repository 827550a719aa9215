"""Download all that training reads, in pinned versions, and check the licences. Needs a clone with its history.

python training/fetch.py
"""

import subprocess

from art import ART
from packages import EMOJIBASE, EMOJILIB, WORDNET, fetch
from paths import BUILTIN, HERE, START

START_COMMIT = "546d38c"  # has the weights whose text tower training begins with


def fetch_start() -> None:
    """Those weights and their vocabulary, out of the project's history."""
    START.mkdir(parents=True, exist_ok=True)
    for name in ("open_clip_model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        path = (BUILTIN / name).relative_to(HERE.parent)
        shown = subprocess.run(
            ["git", "show", f"{START_COMMIT}:{path}"], check=True, capture_output=True, cwd=HERE.parent
        )
        (START / name).write_bytes(shown.stdout)


if __name__ == "__main__":
    fetch_start()
    for package in dict.fromkeys([*(vendor.package for vendor in ART.values()), EMOJIBASE, EMOJILIB, WORDNET]):
        fetch(package)
        print(f"{package.name} {package.version}  {package.licence}", flush=True)
