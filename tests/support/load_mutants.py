"""Loads mutated checkpoints one after the other, and prints a line of JSON about each.

`python -m tests.support.load_mutants SEED COUNT FOLDER` with a bound on memory: what takes more ends this process. One
value of one of the model's JSON files is replaced by another, or a byte of the weights' header is. COUNT 0: each place
of each file with each value, some ten thousand.
"""

from __future__ import annotations

import copy
import itertools
import json
import os
import random
import resource
import shutil
import struct
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ..golden import FOLDERS
from .process_tree import peak_mb

MEMORY = 6_000_000_000  # bytes of address space; a load of these models takes some 2 GB of it
CONFIG, WEIGHTS = "open_clip_config.json", ("open_clip_model.safetensors", "model.safetensors")
FILES = (CONFIG, "tokenizer.json", "tokenizer_config.json", *WEIGHTS, "encoder/config.json", "config.json",
         "processor_config.json")  # fmt: skip
BASES = ("clipa", "roberta", "nllb", "siglip", "coca", "modified_resnet", "openai", "worldwide", "convnext",
         "transformers_clip", "transformers_siglip", "transformers_chinese_clip")  # fmt: skip
GONE = object()  # the key is not there
VALUES: list[Any] = [
    *(GONE, None, True, False, 0, -1, 1, 2, 3, 7, 16.0, 0.5, -0.5, float("nan"), float("inf"), 1e308, 5e-324),
    *(2000, 10**6, 10**9, 2**31, 2**32, 2**63, 2**64, 10**400, "", "a", "16", "0", "\0", "/", "..", "é😀", "x" * 10**5),
    *([], [1], [[1]], [1, 2, 3], [None], ["a"], {}, {"a": 1}, {"type": "a"}, {"content": 5}),
]
# What tokenizer.json may hold in place of what it holds.
PARTS: list[Any] = [
    {"type": "BPE", "vocab": {"a": 0}, "merges": []},
    {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [["a", "b"]]},
    {"type": "BPE", "vocab": {"a": 5, "b": 5, "ab": 10**9}, "merges": ["a b"]},
    {"type": "WordLevel", "vocab": {"a": 2**32 - 1}, "unk_token": "z"},
    {"type": "WordLevel", "vocab": {"a": -1}, "unk_token": "a"},
    {"type": "WordPiece", "vocab": {}, "unk_token": "z", "continuing_subword_prefix": "",
     "max_input_chars_per_word": 0},
    {"type": "Unigram", "unk_id": None, "vocab": []},
    {"type": "Unigram", "unk_id": 9, "vocab": [["a", 0.0]]},
    {"type": "Unigram", "unk_id": 0, "vocab": [["", float("nan")], ["", -1e308]]},
    {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": False},
    {"type": "Split", "pattern": {"Regex": "(a|a)*b"}, "behavior": "Isolated", "invert": False},
    {"type": "Split", "pattern": {"Regex": ""}, "behavior": "Isolated", "invert": False},
    {"type": "Split", "pattern": {"String": ""}, "behavior": "Removed", "invert": True},
    {"type": "Replace", "pattern": {"String": ""}, "content": "x"},
    {"type": "Replace", "pattern": {"Regex": "."}, "content": ""},
    {"type": "Sequence", "normalizers": []},
    {"type": "Sequence", "pretokenizers": []},
    {"type": "Precompiled", "precompiled_charsmap": "AAAA"},
    {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "z", "type_id": 0}}], "pair": [],
     "special_tokens": {}},
    {"type": "TemplateProcessing", "single": [], "pair": [], "special_tokens": {}},
    {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "z", "type_id": 0}}], "pair": [],
     "special_tokens": {"z": {"id": "z", "ids": [10**6], "tokens": ["z"]}}},
    {"type": "RobertaProcessing", "sep": ["z", 2**32 - 1], "cls": ["y", 7], "trim_offsets": True,
     "add_prefix_space": False},
    {"type": "Metaspace", "replacement": "▁▁", "prepend_scheme": "always", "split": True},
    {"direction": "Left", "max_length": 0, "strategy": "LongestFirst", "stride": 10**6},
    {"direction": "Right", "max_length": 4, "strategy": "OnlySecond", "stride": 4},
    {"strategy": {"Fixed": 10**9}, "direction": "Right", "pad_to_multiple_of": 0, "pad_id": 10**6,
     "pad_type_id": 0, "pad_token": "z"},
    {"id": 10**9, "content": "cat", "single_word": False, "lstrip": False, "rstrip": False, "normalized": True,
     "special": False},
]  # fmt: skip


class Mutant(NamedTuple):
    base: str
    file: str
    where: str
    write: Callable[[Path], None]


def places(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """All of it, but only the first entries of a long list or object."""
    if path:
        yield path
    if isinstance(node, dict):
        entries: Any = itertools.islice(node.items(), 30)
    elif isinstance(node, list):
        entries = itertools.islice(enumerate(node), 2)
    else:
        return
    for key, value in entries:
        yield from places(value, (*path, key))


def flags() -> Iterator[tuple[str, str]]:
    """Each flag that a tower of some kind reads, so that mutants have those too that their base does not set."""
    from openclip_api.models.hf import HFTextConfig
    from openclip_api.models.text_transformer import TextConfig
    from openclip_api.models.timm import TimmConfig
    from openclip_api.models.vision_transformer import VisionConfig

    for section, configs in (("vision_cfg", (VisionConfig, TimmConfig)), ("text_cfg", (TextConfig, HFTextConfig))):
        yield from ((section, name) for config in configs for name in config.__dataclass_fields__)


def changed(node: Any, path: tuple[str | int, ...], value: Any) -> Any:
    node = copy.deepcopy(node)
    parent = node
    for key in path[:-1]:
        parent = parent[key]
    if value is not GONE:
        parent[path[-1]] = value
    elif isinstance(parent, dict):
        parent.pop(path[-1], None)
    else:
        del parent[path[-1]]
    return node


def mutants(base: str, folder: Path) -> Iterator[Mutant]:
    for path in sorted(folder.rglob("*.json")):
        name, content = str(path.relative_to(folder)), json.loads(path.read_text())
        at = list(places(content))
        if name == CONFIG:
            at += [("model_cfg", *flag) for flag in flags()]
            at += [("model_cfg", flag) for flag in ("quick_gelu", "multimodal_cfg", "init_logit_scale")]
            at += [("preprocess_cfg", flag) for flag in ("mean", "std", "interpolation", "resize_mode", "fill_color")]
        for where in dict.fromkeys(at):
            for value in VALUES + (PARTS if name == "tokenizer.json" and len(where) <= 2 else []):
                yield Mutant(
                    base,
                    name,
                    f"{'.'.join(map(str, where))} = {_name(value)}",
                    partial(_write_json, path.relative_to(folder), content, where, value),
                )
    yield from _of_the_weights(base, folder)


def _write_json(path: Path, content: Any, where: tuple[str | int, ...], value: Any, folder: Path) -> None:
    (folder / path).write_text(json.dumps(changed(content, where, value)))


def _name(value: Any) -> str:
    return "gone" if value is GONE else repr(value)[:60]


def _of_the_weights(base: str, folder: Path) -> Iterator[Mutant]:
    weights = next(name for name in WEIGHTS if (folder / name).is_file())
    data = (folder / weights).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header, rest = json.loads(data[8 : 8 + length]), data[8 + length :]
    names = ["logit_scale", *list(header)[:4]]
    for name, (key, value) in itertools.product(
        names, itertools.product(("dtype", "shape", "data_offsets", None), VALUES)
    ):
        if name not in header:
            continue
        where = (name, key) if key else (name,)

        def write(folder: Path, where: tuple[str, ...] = where, value: Any = value) -> None:
            text = json.dumps(changed(header, where, value)).encode()
            (folder / weights).write_bytes(struct.pack("<Q", len(text)) + text + rest)

        yield Mutant(base, weights, f"{where} = {_name(value)}", write)


def outcome(folder: Path) -> dict[str, Any]:
    import numpy as np

    import openclip_api

    try:
        embedder = openclip_api.load(f"local-dir:{folder}", precision="fp32")
    except openclip_api.StartupError as error:
        return {"refused": type(error).__name__, "message": str(error)}
    except BaseException as error:
        import traceback

        return {"raised": type(error).__name__, "message": str(error)[:300], "at": traceback.format_exc()[-700:]}
    try:
        json.dumps(
            vars(embedder.info) if hasattr(embedder.info, "__dict__") else embedder.info._asdict(), allow_nan=False
        )
        for text in ("a photo of a cat", "", "日本 ▁ <extra_id_0> z cat " + "long " * 300):
            try:
                assert np.isfinite(embedder.embed_texts([text])).all()
            except openclip_api.RequestError as error:
                return {"works": True, "but": error.message}
    except BaseException as error:
        return {"raised": type(error).__name__, "message": f"later: {str(error)[:300]}"}
    finally:
        embedder.close()
    return {"works": True}


def main(seed: int, count: int, folder: Path) -> None:

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sources = {}
    for base in BASES:
        sources[base] = shutil.copytree(FOLDERS[base], folder / "sources" / base)
        if (sources[base] / "encoder").exists():
            path = sources[base] / CONFIG
            path.write_text(
                path.read_text().replace(f"tests/golden/models/{base}/encoder", str(folder / "mutant/encoder"))
            )
    chosen = [mutant for base in BASES for mutant in mutants(base, sources[base])]
    random.Random(seed).shuffle(chosen)
    if count:
        by_file = [
            [mutant for mutant in chosen if mutant.file == file] for file in FILES
        ]  # the tokenizer has most places
        chosen = [mutant for each in itertools.zip_longest(*by_file) for mutant in each if mutant is not None][:count]
    for mutant in chosen:
        shutil.rmtree(folder / "mutant", ignore_errors=True)
        shutil.copytree(sources[mutant.base], folder / "mutant")
        said = {"base": mutant.base, "file": mutant.file, "where": mutant.where}
        print(json.dumps({**said, "begins": True}), flush=True)
        mutant.write(folder / "mutant")
        began = time.process_time()
        result = outcome(folder / "mutant")
        seconds, peak = time.process_time() - began, round(peak_mb(os.getpid()))
        print(json.dumps({**said, **result, "seconds": round(seconds, 2), "peak_mb": peak}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
