"""Take the facts this package needs from an installed open_clip: run by `make data`.

Writes two files, both data of open_clip (MIT licence, see THIRD_PARTY.md):
  checkpoints/registry.json      architectures by name, and for each tag its repository and preprocessing
  inputs/bpe_merges.txt.gz       the byte-pair merges of CLIP's tokenizer that its vocabulary uses
"""

import gzip
import importlib.resources
import json
import pathlib

import open_clip
from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

PACKAGE = pathlib.Path(__file__).parents[1] / "src" / "openclip_api"

# 512 byte symbols and 2 special tokens come before the merges: open_clip/tokenizer.py, SimpleTokenizer
VOCAB_SIZE = 49408
MERGES = VOCAB_SIZE - 512 - 2

TAG_FIELDS = ("hf_hub", "mean", "std", "interpolation", "resize_mode", "quick_gelu")


def registry() -> dict[str, object]:
    models = {}
    for name in open_clip.list_models():
        tags = {}
        for tag in list_pretrained_tags_by_model(name):
            facts = get_pretrained_cfg(name, tag)
            tags[tag] = {key: facts[key] for key in TAG_FIELDS if key in facts}
            tags[tag]["hf_hub"] = facts["hf_hub"].rstrip("/")
        models[name] = {"config": open_clip.get_model_config(name), "tags": tags}
    return {"open_clip": open_clip.__version__, "models": models}


def merges() -> str:
    packed = importlib.resources.files("open_clip").joinpath("bpe_simple_vocab_16e6.txt.gz").read_bytes()
    lines = gzip.decompress(packed).decode().split("\n")
    return "\n".join(lines[1 : MERGES + 1]) + "\n"  # the first line is a version


def main() -> None:
    text = json.dumps(registry(), separators=(",", ":")).replace('{"config"', '\n{"config"')
    (PACKAGE / "checkpoints" / "registry.json").write_text(text + "\n")
    packed = gzip.compress(merges().encode(), 9, mtime=0)
    (PACKAGE / "inputs" / "bpe_merges.txt.gz").write_bytes(packed)


if __name__ == "__main__":
    main()
