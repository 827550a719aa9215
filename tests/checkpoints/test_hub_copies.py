"""Repositories that hold other libraries' copies beside open_clip's, caches that those libraries filled, and how the
real hub answers: redirects to a content network and a cache, renamed and gated repositories."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from ..support.forked_start import start
from ..support.hub_server import Hub
from .conftest import CONFIG, NAME, REPO, WEIGHTS, weights

LAION = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
PAIR = ("ViT-B-32", "laion2b_s34b_b79k")

pytestmark = pytest.mark.process


def named(*names: str, floats: int = 1 << 14) -> bytes:
    """A safetensors file with tensors of these names, the first being the largest."""
    return save({name: np.zeros(floats if name == names[0] else 1, np.float32) for name in names})


TRANSFORMERS = named("vision_model.embeddings.patch_embedding.weight", "text_model.embeddings.token_embedding.weight")
TIMM = named("blocks.0.attn.qkv.weight", "patch_embed.proj.weight")
OPEN_CLIP = save({
    "value": np.full(4, 7, np.float32), "visual.conv1.weight": np.zeros(1, np.float32),
    "token_embedding.weight": np.zeros(1, np.float32),
})  # fmt: skip


def fill_cache(home: Path, hub: Hub, repo: str, file: str, content: bytes) -> None:
    """As another library fills it: only its own file."""
    everything, hub.repos[repo] = hub.repos.get(repo, {}), {file: content}
    done = start(home, f"hf-hub:{repo}", HF_ENDPOINT=hub.url)  # makes the folders
    assert "error" in done
    snapshot = next((home / ".cache/huggingface/hub").glob(f"models--{repo.replace('/', '--')}*"), None)
    hub.repos[repo] = everything
    folder = snapshot or home / ".cache/huggingface/hub" / f"models--{repo.replace('/', '--')}"
    commit = hub.commit(repo)
    (folder / "snapshots" / commit).mkdir(parents=True, exist_ok=True)
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(commit)
    (folder / "snapshots" / commit / file).write_bytes(content)


@pytest.mark.parametrize("copy", [TRANSFORMERS, TIMM], ids=["transformers", "timm"])
def test_the_default_model_after_another_library_filled_the_cache(hub: Hub, home: Path, copy: bytes):
    hub.repos[LAION] = {WEIGHTS: weights(2), "model.safetensors": copy, "open_clip_pytorch_model.bin": b"PK"}
    fill_cache(home, hub, LAION, "model.safetensors", copy)
    hub.requests.clear()
    result = start(home, *PAIR, HF_ENDPOINT=hub.url)

    assert result["value"] == 2
    assert Path(result["weights"]).name == WEIGHTS
    assert [request.path.rpartition("/")[2] for request in hub.downloads()] == [WEIGHTS]


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
def test_of_another_librarys_copy_only_the_header_is_fetched(hub: Hub, home: Path, ranges: bool):
    hub.ranges = ranges
    big = named("blocks.0.attn.qkv.weight", floats=1 << 22)  # 16 MB
    hub.repos[LAION] = {"model.safetensors": big}
    result = start(home, *PAIR, HF_ENDPOINT=hub.url)

    assert result["error"] == "UnknownModel"
    assert f"{LAION} has no weights of open_clip's (open_clip_model.safetensors, " in result["message"]
    assert "its model.safetensors is another library's, such as timm's image tower alone" in result["message"]
    assert sum(request.sent for request in hub.requests) < 10_000_000
    if ranges:
        assert sum(request.sent for request in hub.requests) < 10_000


def test_model_safetensors_with_open_clips_towers_is_taken(hub: Hub, home: Path):
    hub.repos[LAION] = {"model.safetensors": OPEN_CLIP}

    assert start(home, *PAIR, HF_ENDPOINT=hub.url)["value"] == 7
    hub.requests.clear()
    assert start(home, *PAIR, HF_ENDPOINT=hub.url)["value"] == 7
    assert hub.requests == []


def test_a_warm_start_offline_with_both_copies(hub: Hub, home: Path):
    hub.repos[LAION] = {WEIGHTS: weights(2), "model.safetensors": TRANSFORMERS}
    start(home, *PAIR, HF_ENDPOINT=hub.url)
    fill_cache(home, hub, LAION, "model.safetensors", TRANSFORMERS)

    assert start(home, *PAIR, HF_HUB_OFFLINE="1")["value"] == 2


@pytest.mark.parametrize("token", [{}, {"HF_TOKEN": "hf_valid"}], ids=["open", "token"])
def test_redirects_of_the_real_hub(hub: Hub, home: Path, token: dict[str, str]):
    """Large files from a content network on another host, which the token must not reach; small ones from a cache."""
    hub.redirects = True
    hub.repos[LAION] = {"model.safetensors": OPEN_CLIP}

    result = start(home, NAME, HF_ENDPOINT=hub.url, **token)
    assert result["value"] == 1
    assert result["sha256"] == hub.sha256(weights())
    assert start(home, *PAIR, HF_ENDPOINT=hub.url, **token)["value"] == 7
    assert [r for r in hub.requests if r.status >= 400 and "/content/" in r.path] == []


def test_a_renamed_repository(hub: Hub, home: Path):
    hub.renamed["old/name"] = REPO

    assert start(home, "hf-hub:old/name", HF_ENDPOINT=hub.url)["value"] == 1
    hub.redirects = True
    shutil.rmtree(home / ".cache")
    assert start(home, "old/name", HF_ENDPOINT=hub.url)["value"] == 1


@pytest.mark.parametrize("name", [NAME, REPO])
def test_a_gated_repository_whose_terms_are_not_accepted(hub: Hub, home: Path, name: str):
    hub.gated.add(REPO)
    hub.not_granted.add(REPO)
    for token in ({}, {"HF_TOKEN": hub.token}):
        result = start(home, name, HF_ENDPOINT=hub.url, **token)

        assert result["error"] == "UnknownModel"
        assert f"{REPO} is gated: accept its terms at {hub.url}/{REPO} and set HF_TOKEN" in result["message"]


def test_a_bare_repository_name_and_a_revision(hub: Hub, home: Path):
    hub.revisions.add("v1")

    assert start(home, REPO, HF_ENDPOINT=hub.url)["value"] == 1
    assert start(home, f"{REPO}@v1", HF_ENDPOINT=hub.url)["value"] == 1


def test_a_repository_of_the_table_without_a_config_names_its_pair(hub: Hub, home: Path):
    hub.repos[LAION] = {WEIGHTS: weights(2)}
    result = start(home, LAION, HF_ENDPOINT=hub.url)

    assert result["error"] == "UnknownModel"
    assert "its weights are MODEL_NAME=ViT-B-32 MODEL_PRETRAINED=laion2b_s34b_b79k" in result["message"]


def test_a_repository_of_the_table_as_it_is_named(hub: Hub, home: Path):
    hub.repos[LAION] = {WEIGHTS: weights(2), "open_clip_config.json": json.dumps(CONFIG).encode()}

    assert start(home, LAION, HF_ENDPOINT=hub.url)["value"] == 2


@pytest.mark.parametrize("name", ["clip-vit-base-patch32", "openai/clip", "siglip", "jinaai/jina-clip-v1", "ViT-B/23"])
def test_names_that_are_no_repository_ask_no_hub(hub: Hub, home: Path, name: str):
    result = start(home, name, HF_ENDPOINT=hub.url)

    assert result["error"] == "UnknownModel"
    assert hub.requests == []
