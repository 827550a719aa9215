"""Settings of huggingface_hub that cannot be, names that the hub does not have, and caches that are not whole: each one
line with what to do, from the real command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ..golden import TRANSFORMERS
from ..support.forked_start import environment, start
from ..support.hub_server import Cut, Hub
from .conftest import CONFIG, NAME, REPO, weights

LAION = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
CLIP = "openai/clip-vit-base-patch32"

pytestmark = pytest.mark.process


def command(home: Path, *arguments: str, **settings: object) -> str:
    """What a command that fails says last."""
    done = subprocess.run(
        [sys.executable, "-m", "openclip_api", *arguments],
        env=environment(home, **settings),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("arguments", [["info", NAME], ["models"], ["serve", "--port", "0"], ["convert", NAME, "out"]])
@pytest.mark.parametrize(
    "setting", [{"HF_ENDPOINT": "http://127.0.0.1:99999"}, {"HF_HUB_ETAG_TIMEOUT": "soon"}], ids=str
)
def test_a_setting_that_the_library_does_not_start_with(home: Path, arguments: list[str], setting: dict[str, str]):
    said = command(home, *arguments, **setting)
    assert said.startswith("openclip-api: a variable HF_… has an invalid value, perhaps HF_ENDPOINT (")


@pytest.mark.parametrize("endpoint", ["huggingface.co", "ftp://hub.example"])
def test_an_endpoint_that_is_no_address(home: Path, endpoint: str):
    result = start(home, NAME, HF_ENDPOINT=endpoint)

    assert result["error"] == "HubUnreachable"
    assert "check HF_ENDPOINT" in result["message"]


def test_a_token_that_is_none(hub: Hub, home: Path):
    assert start(home, NAME, HF_ENDPOINT=hub.url, HF_TOKEN="hf_🙂")["message"].startswith("HF_TOKEN has a character")


@pytest.mark.parametrize(("typed", "meant"), [(LAION[:-10], LAION), (LAION.lower(), LAION), (f"{CLIP[:-2]}-32", CLIP)])
def test_a_repository_that_is_not_there_is_answered_with_one_spelled_alike(
    hub: Hub, home: Path, typed: str, meant: str
):
    result = start(home, typed, HF_ENDPOINT=hub.url)

    assert result["error"] == "UnknownModel"
    assert result["message"] == (
        f"the hub {hub.url} has no repository {typed!r} (or it is private: set HF_TOKEN); did you mean {meant}?"
    )


def test_a_cache_that_another_library_filled_by_half_says_what_is_missing_and_why(hub: Hub, home: Path):
    """transformers' image model alone asks for no tokenizer."""
    config = json.dumps(CONFIG).encode()
    hub.repos[LAION] = {path.name: path for path in TRANSFORMERS["clip"].iterdir()} | {"open_clip_config.json": config}
    fetch = (
        "import sys; from huggingface_hub import hf_hub_download\n"
        "for name in ('config.json', 'model.safetensors', 'processor_config.json'): hf_hub_download(sys.argv[1], name)"
    )
    settings = environment(home, HF_ENDPOINT=hub.url)
    subprocess.run([sys.executable, "-c", fetch, LAION], env=settings, check=True)
    result = start(home, LAION, HF_HUB_OFFLINE=1)

    assert result["error"] == "HubUnreachable"
    assert "has no tokenizer: " in result["message"]
    assert f"and cannot fetch {LAION} from https://huggingface.co (HF_HUB_OFFLINE is set): " in result["message"]


def test_half_a_download_is_described_and_not_served_offline(hub: Hub, home: Path):
    hub.repos[REPO]["open_clip_model.safetensors"] = weights(1)
    hub.fault = Cut(1000)
    assert start(home, NAME, HF_ENDPOINT=hub.url)["error"] == "HubUnreachable"
    assert "HF_HUB_OFFLINE is set" in start(home, NAME, HF_HUB_OFFLINE=1)["message"]
    said = command(home, "convert", NAME, str(home / "out"), HF_HUB_OFFLINE=1)
    assert said.startswith(f"openclip-api: cannot fetch {REPO} from ")
    assert not (home / "out").exists()
