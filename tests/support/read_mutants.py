"""Reads mutated files of torch one after the other, and prints a line of JSON about all of them.

`python -m tests.support.read_mutants SEED COUNT FOLDER` with a bound on memory: what takes more ends this process.
While a mutant is read, anything that Python's audit events show to be run, imported or written ends it too.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import pickletools
import random
import re
import resource
import struct
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from openclip_api.checkpoints.weight_files import read_weights
from openclip_api.errors import StartupError

from ..golden import MODELS
from .process_tree import peak_mb
from .torch_files import archive, call, legacy, mapping, name, number, state_dict, storage, tensor, text

MEMORY = 3_000_000_000  # bytes of address space; 700 MB are taken before the first mutant
SECONDS = 5  # of CPU, for one

# What must not happen: sys.audit's names in CPython's documentation, "Audit events table".
FORBIDDEN = (
    *(
        "import",
        "exec",
        "compile",
        "os.",
        "subprocess.",
        "pickle.",
        "marshal.",
        "shutil.",
        "socket.",
        "ctypes.",
        "pty.",
    ),
    *("sys._getframe", "sys.set", "code.", "function.", "object.__setattr__", "object.__delattr__", "urllib."),
)
OPCODES = b"".join(opcode.code.encode("latin-1") for opcode in pickletools.opcodes)
NUMBERS = [struct.pack("<q", value) for value in (0, 1, -1, 1 << 31, 1 << 32, 1 << 62, -(1 << 62), 0x7FFF)]
NAMES = [
    name("os", "system"),
    name("builtins", "eval"),
    name("torch._utils", "_rebuild_tensor_v2"),
    b"\x93",
    b"R",
    b"b",
]
reading = False


def forbid(event: str, arguments: tuple[object, ...]) -> None:
    if not reading:
        return
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if writes or (event.startswith(FORBIDDEN) and event not in ("os.listdir",)):
        print(json.dumps({"forbidden": event, "arguments": repr(arguments)[:300]}), flush=True)
        sys.stdout.flush()
        raise SystemExit(7)


def seeds(folder: Path) -> list[bytes]:
    """Small files of each form, pieces that a pickle is made of, and an index of files in `folder`."""
    optimizer = mapping({"state": mapping({"exp_avg": tensor("1", 9)}), "param_groups": b"]"})
    views = {
        "visual.conv1.weight": tensor("0", 24, shape=[2, 3, 4], stride=[12, 1, 3]),
        "half": tensor("1", 8, "HalfStorage"),
        "double": tensor("2", 3, "DoubleStorage"),
        "tied": call(name("torch._utils", "_rebuild_parameter"), tensor("0", 24, offset=3, shape=[5]), b"\x88", b"}"),
    }
    stored = {"0": bytes(range(96)), "1": bytes(16), "2": bytes(24)}
    plain, trained = (
        state_dict(views),
        state_dict({"epoch": number(3), "optimizer": optimizer, "model": mapping(views)}),
    )
    nested = state_dict({"state": mapping({"ema": mapping(views), "student": mapping({"a": text("b")})})})
    odd = state_dict({**views, "b": call(name("torch._utils", "_rebuild_sparse_tensor"), name("torch", "sparse_coo"))})
    evil = state_dict({**views, "x": name("os", "system") + b"(" + text("true") + b"tR"})
    files = [
        archive(content, stored, {"archive/byteorder": b"little"}) for content in (plain, trained, nested, odd, evil)
    ]
    old = {"a": tensor("0", 24, shape=[4, 6], stride=[6, 1]), "b": storage("0", 24)}
    run = {**old, "x": name("os", "system") + b"(" + text("true") + b"tR"}
    files += [legacy(state_dict(content), {"0": bytes(96)}) for content in (old, run)]
    (folder / "a.safetensors").write_bytes(save({"model.visual.a": np.ones(4, np.float32)}))
    (folder / "b.bin").write_bytes(archive(state_dict({"model.b": tensor("0", 24)}), {"0": bytes(96)}))
    weight_map = {"model.visual.a": "a.safetensors", "model.b": "b.bin"}
    files += [json.dumps({"metadata": {"total_size": 112}, "weight_map": weight_map}).encode()]
    files += [(folder / "a.safetensors").read_bytes()]
    for form in ("torchscript", "legacy", "training"):
        files += [path.read_bytes() for path in MODELS[form].iterdir() if path.suffix in (".pt", ".bin")]
    return files


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Bytes changed where it matters most: in the pickle, and in the archive's headers and list of members."""
    content = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        if content:
            rng.choice((replace, insert, move))(content, place(content, rng), rng)
    return bytes(content)


def replace(content: bytearray, at: int, rng: random.Random) -> None:
    opcode, flipped = bytes([rng.choice(OPCODES)]), bytes([content[at] ^ 1 << rng.randrange(8)])
    new = rng.choice((opcode, flipped, rng.randbytes(1), rng.choice(NUMBERS), rng.choice(NAMES)))
    content[at : at + len(new)] = new


def insert(content: bytearray, at: int, rng: random.Random) -> None:
    again = content[at : at + rng.randrange(1, 60)] * rng.choice((1, 2, 9))
    content[at:at] = rng.choice((again, rng.choice(NAMES), bytes([rng.choice(OPCODES)])))


def move(content: bytearray, at: int, rng: random.Random) -> None:
    if rng.random() < 0.5:
        del content[at : at + rng.choice((1, 2, 7, 40))]
    else:
        other = place(content, rng)
        content[at : at + 20] = content[other : other + 20]


def place(content: bytearray, rng: random.Random) -> int:
    """Anywhere, or in what describes the rest: the first 4 KB, the last 4 KB, behind a header of the archive."""
    where = rng.random()
    if where < 0.5:
        return rng.randrange(min(len(content), 4000))
    if where < 0.7:
        return len(content) - 1 - rng.randrange(min(len(content), 4000))
    headers = [match.start() for match in re.finditer(b"PK[\x01-\x06][\x02-\x06]", content[-8000:])]
    if headers and where < 0.9:
        return min(len(content) - 1, max(0, len(content) - 8000) + rng.choice(headers) + rng.randrange(60))
    return rng.randrange(len(content))


def repacked(data: bytes, rng: random.Random) -> bytes:
    """An archive whose pickle alone is mutated, with the list of members as it should be."""
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        members = {entry: opened.read(entry) for entry in opened.namelist()}
    pickle = next(entry for entry in members if entry.endswith("data.pkl"))
    members[pickle] = mutated(members[pickle], rng)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written:
        for entry, content in members.items():
            written.writestr(entry, content)
    return file.getvalue()


def outcome(path: Path) -> tuple[str, str]:
    """How it ended, and the message."""
    global reading
    reading = True
    try:
        weights = read_weights(path)
        total = sum(float(array.reshape(-1)[-1]) for array in weights.tensors().values() if array.size)
    except StartupError as error:
        return type(error).__name__, str(error)
    finally:
        reading = False
    return "read", str(total != 0)


def main(seed: int, count: int, folder: Path) -> None:
    files = seeds(folder)
    path = folder / "mutant.pt"
    for data in files:  # whatever is imported on the way is, before the watch begins
        path.write_bytes(data)
        print(json.dumps({"seed": outcome(path)[0]}), flush=True)
    codecs.lookup("raw-unicode-escape")  # which Python imports for texts of protocol 0
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sys.addaudithook(forbid)
    rng = random.Random(seed)
    seen: Counter[str] = Counter()
    worst, began = 0.0, time.monotonic()
    before = peak_mb(os.getpid())
    for _ in range(count):
        data = rng.choice(files)
        content = repacked(data, rng) if data.startswith(b"PK") and rng.random() < 0.5 else mutated(data, rng)
        path.write_bytes(content)
        started = time.process_time()
        try:
            kind, message = outcome(path)
        except BaseException as error:
            kept = folder / f"kept-{seen.total()}.pt"
            kept.write_bytes(content)
            print(json.dumps({"raised": repr(error)[:300], "file": str(kept)}), flush=True)
            raise
        took = time.process_time() - started
        worst = max(worst, took)
        assert took < SECONDS, took
        assert "\n" not in message, message
        assert len(message) < 900, message
        seen[kind] += 1
    peak = peak_mb(os.getpid())
    figures = {"seconds": round(time.monotonic() - began, 1), "slowest": round(worst, 3)}
    print(json.dumps({"seen": seen, **figures, "more_mb": round(peak - before), "peak_mb": round(peak)}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
