"""What a start does with a checkpoint, up to its verified weights.

huggingface_hub reads its settings when it is imported: each start is a fresh process, which imports
it (through this package) only after its environment is set. `python start.py NAME [TAG]` prints JSON.
"""

from __future__ import annotations

import encodings.idna
import fcntl
import json
import mmap
import os
import resource
import sys
from pathlib import Path
from typing import Any

# Python imports these when they are first used; a start that has become another user may not be able to read them.
IMPORTED_EARLY = (encodings.idna, mmap)


def start(name: str, tag: str | None = None) -> dict[str, Any]:
    if os.environ.get("TEST_NO_FLOCK"):  # some network file systems let every caller have the lock
        fcntl.flock = lambda *_: None
    if limit := os.environ.get("TEST_FILE_SIZE_LIMIT"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    become(os.environ.get("TEST_UID_FROM_THE_START"))

    from openclip_api.checkpoints.checkpoint import find
    from openclip_api.checkpoints.digest import file_sha256
    from openclip_api.checkpoints.registry import names
    from openclip_api.checkpoints.weight_files import read_weights
    from openclip_api.errors import StartupError

    names()  # reads the table, which another user may not be able to
    become(os.environ.get("TEST_UID"))
    progress: list[tuple[str, int, int]] = []
    cache = os.environ.get("CACHE_DIR")
    try:
        found = find(name, tag, cache_dir=Path(cache) if cache else None, report=lambda *step: progress.append(step))
        weights = read_weights(found.weights)
        found.verify(file_sha256(found.weights))
    except StartupError as error:
        return {"error": type(error).__name__, "message": str(error), "progress": progress}
    return {
        "weights": str(found.weights),
        "sha256": found.sha256,
        "tokenizer": str(found.tokenizer),
        "config": found.config.as_written,
        "value": float(weights["value"][0]) if "value" in weights else None,
        "progress": progress,
    }


def become(uid: str | None) -> None:
    if uid:
        os.setgroups([])
        os.setgid(int(uid))
        os.setuid(int(uid))


if __name__ == "__main__":
    print(json.dumps(start(*sys.argv[1:])))
