"""Repositories in transformers' and sentence-transformers' layout, whole or in shards, and weights in torch's form:
golden files on a hub over HTTP. tests/test_golden.py compares the vectors of the same files in a folder."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from openclip_api import load

from ..golden import MODELS, TRANSFORMERS
from ..support.forked_start import start
from ..support.hub_server import Content, Hub

NAME = "openai/clip-vit-base-patch32"
CLIP = TRANSFORMERS["clip"]
IMAGE = (MODELS["clipa"].parents[1] / "images" / "rgb.png").read_bytes()

pytestmark = pytest.mark.process


def repository(folder: Path, below: str = "") -> dict[str, Content]:
    return {below + path.name: path for path in folder.iterdir() if path.name != "expected.npz"}


def vectors(folder: Path) -> tuple[str, np.ndarray, np.ndarray]:
    with closing(load(f"local-dir:{folder}", precision="fp32")) as embedder:
        return embedder.info.fingerprint, embedder.embed_images([IMAGE]), embedder.embed_texts(["a cat"])


def assert_same_model(folder: Path, golden: Path) -> None:
    """What was fetched gives the vectors, and the fingerprint, of the golden folder."""
    ours, theirs = vectors(folder), vectors(golden)
    assert ours[0] == theirs[0]
    np.testing.assert_array_equal(ours[1], theirs[1])
    np.testing.assert_array_equal(ours[2], theirs[2])


@pytest.mark.parametrize("name", [NAME, f"hf-hub:{NAME}"])
@pytest.mark.parametrize("redirects", [False, True], ids=["plain", "redirects"])
def test_transformers(hub: Hub, home: Path, name: str, redirects: bool):
    hub.redirects = redirects
    hub.repos[NAME] = repository(CLIP)
    result = start(home, name, HF_ENDPOINT=hub.url)

    assert "error" not in result, result
    assert_same_model(Path(result["weights"]).parent, CLIP)
    assert result["tokenizer"] == str(Path(result["weights"]).parent)

    # a warm start asks no network, also not for the files that the repository does not have
    hub.requests.clear()
    assert start(home, name, HF_ENDPOINT=hub.url)["weights"] == result["weights"]
    assert hub.requests == []
    assert start(home, name, HF_HUB_OFFLINE=1)["weights"] == result["weights"]


def test_a_cache_that_transformers_filled_is_enough_offline(hub: Hub, home: Path):
    """It holds the files that there are, and no note of those that there are not."""
    hub.repos[NAME] = repository(CLIP)
    start(home, NAME, HF_ENDPOINT=hub.url)
    for note in home.glob(".cache/huggingface/hub/models--*/.no_exist/*/*"):
        note.unlink()

    assert "error" not in start(home, NAME, HF_HUB_OFFLINE=1)


def test_sentence_transformers(hub: Hub, home: Path):
    name = "sentence-transformers/clip-ViT-B-32"
    modules = [{"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "sentence_transformers.models.CLIPModel"}]
    hub.repos[name] = {"modules.json": json.dumps(modules).encode(), **repository(CLIP, "0_CLIPModel/")}
    result = start(home, name, HF_ENDPOINT=hub.url)

    assert "error" not in result, result
    assert Path(result["weights"]).parent.name == "0_CLIPModel"
    assert_same_model(Path(result["weights"]).parent, CLIP)


def test_shards(hub: Hub, home: Path):
    """transformers cuts a model beyond some gigabytes into files, with an index beside them."""
    from safetensors.numpy import load_file, save

    tensors = load_file(CLIP / "model.safetensors")
    names = sorted(tensors)
    shards = {f"model-{i + 1:05}-of-00003.safetensors": names[i::3] for i in range(3)}
    weight_map = {name: shard for shard, inside in shards.items() for name in inside}
    hub.repos[NAME] = repository(CLIP)
    del hub.repos[NAME]["model.safetensors"]
    hub.repos[NAME]["model.safetensors.index.json"] = json.dumps({"metadata": {}, "weight_map": weight_map}).encode()
    hub.repos[NAME] |= {shard: save({name: tensors[name] for name in inside}) for shard, inside in shards.items()}
    result = start(home, NAME, HF_ENDPOINT=hub.url)

    assert "error" not in result, result
    np.testing.assert_array_equal(vectors(Path(result["weights"]).parent)[1], vectors(CLIP)[1])


def test_open_clip_s_config_with_weights_in_torch_s_form(hub: Hub, home: Path):
    """As apple's DFN repositories. Beside it lies transformers' copy, of which nothing is fetched."""
    config = json.loads((MODELS["legacy"] / "open_clip_config.json").read_text())
    for key in ("hf_tokenizer_name", "tokenizer_kwargs"):
        config["model_cfg"]["text_cfg"].pop(key, None)
    hub.repos["apple/DFN"] = {
        "open_clip_config.json": json.dumps(config).encode(),
        "open_clip_pytorch_model.bin": MODELS["legacy"] / "open_clip_pytorch_model.bin",
        "model.safetensors": CLIP / "model.safetensors",
    }
    result = start(home, "hf-hub:apple/DFN", HF_ENDPOINT=hub.url)

    assert "error" not in result, result
    assert Path(result["weights"]).name == "open_clip_pytorch_model.bin"
    assert hub.downloads("model.safetensors") == []


def test_the_file_that_the_table_names_may_be_torch_s(hub: Hub, home: Path):
    """As ViTamin's."""
    hub.repos["jienengchen/ViTamin-S"] = {"pytorch_model.bin": MODELS["legacy"] / "open_clip_pytorch_model.bin"}
    result = start(home, "ViTamin-S", HF_ENDPOINT=hub.url)

    assert "error" not in result, result
    assert Path(result["weights"]).name == "pytorch_model.bin"
    assert result["sha256"] == hub.sha256(MODELS["legacy"] / "open_clip_pytorch_model.bin")


def test_a_repository_in_neither_layout(hub: Hub, home: Path):
    hub.repos["org/notes"] = {"README.md": b"notes"}
    result = start(home, "org/notes", HF_ENDPOINT=hub.url)

    assert result["error"] == "UnknownModel"
    assert "org/notes has no open_clip_config.json: it is not an OpenCLIP repository, and " in result["message"]
    assert "has none of config.json" in result["message"]


def test_a_model_of_another_kind_is_refused_before_its_weights_are_fetched(hub: Hub, home: Path):
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    hub.repos["org/chat"] = {**repository(CLIP), "config.json": json.dumps(config).encode()}
    result = start(home, "org/chat", HF_ENDPOINT=hub.url)

    assert result["error"] == "UnsupportedModel"
    assert "llama" in result["message"]
    assert hub.downloads(".safetensors") == []
