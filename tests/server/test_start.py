"""Starting, failing to start and stopping, as a user sees it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save, save_file

from ..golden import MODELS
from ..support.hub_server import Hub, Slow
from ..support.server_process import FakeServer, ServerProcess
from ..support.tiny_checkpoint import CONFIG, tiny_weights, write_tiny_checkpoint

pytestmark = pytest.mark.process

REPO = "org/tiny-clip"


@pytest.fixture
def hub():
    files = {
        "open_clip_config.json": json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {}}).encode(),
        "open_clip_model.safetensors": save(tiny_weights()),
    }
    with Hub({REPO: files}) as hub:
        yield hub


def hub_settings(hub: Hub, home: Path) -> dict[str, object]:
    return {"HF_ENDPOINT": hub.url, "HF_HOME": home, "MODEL_NAME": f"hf-hub:{REPO}"}


def test_while_it_downloads_it_is_alive_but_not_ready(hub: Hub, tmp_path: Path):
    hub.fault = Slow(pause=0.05, block=200_000)  # some 3.3 MB in 17 pieces
    with ServerProcess(ready=False, **hub_settings(hub, tmp_path)) as server:
        server.http.base_url = server.wait_until_listening()
        seen = set()
        while (response := server.http.get("/ready")).status_code == 503:
            status = response.json()
            assert response.headers["retry-after"]
            assert status["status"] == "loading"
            seen.add((status["stage"], status.get("progress", {}).get("bytes", 0) > 0))
            if status["stage"] == "downloading":
                assert server.http.get("/health").status_code == 200
                assert server.http.get("/").json()["status"] == "loading"
                refused = server.http.post("/embeddings", json={"text": "a"})
                assert refused.status_code == 503
                assert refused.json()["error"]["type"] == "not_ready"
                assert refused.headers["retry-after"]
            time.sleep(0.02)
        assert ("downloading", True) in seen
        assert server.http.get("/ready").json() == {"status": "ready"}
        assert server.http.post("/embeddings", json={"text": "a"}).json()["model"] == "OpenCLIP-tiny-clip"


def test_a_warm_start_asks_nobody(hub: Hub, tmp_path: Path):
    with ServerProcess(**hub_settings(hub, tmp_path)):
        pass
    asked = len(hub.requests)
    assert asked > 0
    with ServerProcess(**hub_settings(hub, tmp_path)) as server:
        assert server.http.post("/embeddings", json={"text": "a"}).status_code == 200
    assert len(hub.requests) == asked


def test_the_first_line_of_help_it_prints_works(tiny: Path):
    with ServerProcess(MODEL_NAME=f"local-dir:{tiny}") as server:
        command = server.line_with("Try it:").removeprefix("Try it:")
        answer = subprocess.run(command, shell=True, capture_output=True, check=True, timeout=30)
        assert len(json.loads(answer.stdout)["embeddings"][0]) == 16


@pytest.mark.parametrize("command", [("main.py",), ("-m", "openclip_api", "serve")])
def test_both_ways_to_start(tiny: Path, command: tuple[str, ...]):
    root = Path(__file__).parents[2]
    command = tuple(str(root / part) if part.endswith(".py") else part for part in command)
    with ServerProcess(sys.executable, *command, MODEL_NAME=f"local-dir:{tiny}") as server:
        assert server.http.get("/info").json()["model_id"] == "OpenCLIP-tiny-clip"
        assert server.stop() == 0


def test_flags_are_settings(tiny: Path):
    flags = ["--model-name", f"local-dir:{tiny}", "--model-id", "mine", "--max-items", "3"]
    with ServerProcess(sys.executable, "-m", "openclip_api", "serve", *flags, MODEL_ID="not-this") as server:
        info = server.http.get("/info").json()
        assert (info["model_id"], info["limits"]["max_items"]) == ("mine", 3)


def test_the_line_that_says_ready_tells_the_activation_and_the_preprocessing(tiny: Path):
    with ServerProcess(MODEL_NAME=f"local-dir:{tiny}") as server:
        line = server.line_with(" is ready after ")
        assert ", 16 dimensions, gelu, 32 px, bicubic, shortest, fingerprint " in line
        assert server.http.get("/info").json()["activation"] == "gelu"


def test_a_bare_file_that_may_be_of_another_kind_is_told_of_at_the_start(tiny: Path):
    path = tiny / "open_clip_model.safetensors"
    with ServerProcess(ready=False, MODEL_NAME="vit-b-32", MODEL_PRETRAINED=str(path)) as server:
        assert server.wait() == 1
        *_, warning, error = server.output.splitlines()
    assert f"Write MODEL_PRETRAINED=openai:{path} if it was trained like openai (with QuickGELU), " in warning
    # the tiny model is none of that name: the error names the file and the tensor
    assert f"{path}: tensor 'visual.conv1.weight' has shape [32, 3, 16, 16]" in error


def broken_folder(tmp_path: Path, **changes: object) -> Path:
    folder = write_tiny_checkpoint(tmp_path / "broken")
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["vision_cfg"].update(changes)
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"PRECISION": "fp8"}, ["PRECISION", "'fp8'", "'bf16'"]),
        ({"PORT": "many"}, ["PORT", "'many'"]),
        ({"MODEL_NAME": "ViT-B-23"}, ["MODEL_NAME", "'ViT-B-23'", "ViT-B-32"]),
        (
            {"MODEL_NAME": "ViT-B-32", "MODEL_PRETRAINED": "laion3b"},
            ["MODEL_PRETRAINED", "'laion3b'", "laion2b_s34b_b79k"],
        ),
        ({"MODEL_NAME": "clip-vit-base-patch32"}, ["did you mean openai/clip-vit-base-patch32?"]),
        ({"MODEL_PRETRAINED": "/no/such/file.pt"}, ["MODEL_PRETRAINED='/no/such/file.pt': no such file"]),
        ({"MODEL_NAME": "openai/clip-vit-base-patch32", "HF_HOME": "/no/such"}, ["openai/clip-vit-base-patch32"]),
        ({"MODEL_NAME": "ViT-L-14"}, ["MODEL_PRETRAINED", "ViT-L-14", "openai"]),
        ({"MODEL_NAME": f"local-dir:/{'x' * 300}"}, ["local-dir:/xxx", "File name too long"]),
        (
            {"MODEL_NAME": "local-dir:/no/such/folder"},
            ["/no/such/folder", "no such file or folder; there is no /no/such"],
        ),
    ],
)
def test_a_wrong_setting_ends_in_one_line(settings: dict[str, str], parts: list[str]):
    with ServerProcess(ready=False, HF_HUB_OFFLINE="1", **settings) as server:
        assert server.wait() == 1
        last = server.output.splitlines()[-1]
        assert last.startswith("openclip-api: ")
        for part in parts:
            assert part in last
        assert "Traceback" not in server.output


def test_an_unknown_flag_of_the_model_is_refused_by_name(tmp_path: Path):
    folder = broken_folder(tmp_path, qk_norm=True)
    with ServerProcess(ready=False, MODEL_NAME=f"local-dir:{folder}") as server:
        assert server.wait() == 1
        assert "vision_cfg.qk_norm = True is not supported" in server.output
        assert "Traceback" not in server.output


def golden_folder(tmp_path: Path, name: str, file: str, path: str, value: object) -> Path:
    """A golden model with another value at one place of one of its JSON files."""
    folder = Path(shutil.copytree(MODELS[name], tmp_path / name))
    content = json.loads((folder / file).read_text())
    *sections, key = path.split(".")
    section = content
    for part in sections:
        section = section[part]
    section[key] = value
    (folder / file).write_text(json.dumps(content))
    return folder


CONFIG_FILE, TOKENIZER, TOKENIZER_CONFIG = "open_clip_config.json", "tokenizer.json", "tokenizer_config.json"
UNKNOWN_TOKEN = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "z", "type_id": 0}}], "pair": [],
           "special_tokens": {}}  # fmt: skip
REPLACE_NOTHING = {"type": "Replace", "pattern": {"String": ""}, "content": "x"}
WRONG = [
    # four panics in the library: one when the file is read, the others with the first text
    ("siglip", TOKENIZER, "normalizer", {"type": "Precompiled", "precompiled_charsmap": "AAAA"}, ["tokenizer.json"]),
    ("roberta", TOKENIZER, "model.continuing_subword_prefix", "é😀", ["tokenizer.json"]),
    ("roberta", TOKENIZER, "normalizer", REPLACE_NOTHING, ["tokenizer.json"]),
    ("clipa", TOKENIZER, "post_processor", UNKNOWN_TOKEN, ["tokenizer.json"]),
    ("clipa", TOKENIZER, "model.vocab.a", 4_000_000_000, ["tokenizer.json", "4000000000", "400"]),
    ("roberta", TOKENIZER, "post_processor.cls", ["<s>", 2**31], ["tokenizer.json", "2147483648", "400"]),
    ("clipa", TOKENIZER_CONFIG, "padding_side", 7, ["tokenizer_config.json", "padding_side", "7"]),
    ("openai", CONFIG_FILE, "model_cfg.text_cfg.heads", 3, ["heads", "3"]),
    ("openai", CONFIG_FILE, "model_cfg.vision_cfg.head_width", 10**7, ["head_width"]),
    ("openai", CONFIG_FILE, "model_cfg.vision_cfg.image_size", [[32], [32]], ["open_clip_config.json", "image_size"]),
    ("openai", CONFIG_FILE, "preprocess_cfg.mean", 10**400, ["open_clip_config.json", "preprocess_cfg.mean"]),
    ("convnext", CONFIG_FILE, "model_cfg.vision_cfg.image_size", 20_000, ["open_clip_config.json", "image_size 20000"]),
    ("roberta", CONFIG_FILE, "model_cfg.text_cfg.context_length", 10**9, ["open_clip_config.json", "context_length"]),
    ("roberta", CONFIG_FILE, "model_cfg.text_cfg.context_length", 300, ["text_cfg.context_length 300", "88"]),
    ("openai", CONFIG_FILE, "model_cfg.vision_cfg.mlp_ratio", float("nan"), ["vision_cfg.mlp_ratio nan"]),
    ("openai", CONFIG_FILE, "model_cfg.quick_gelu", "false", ["open_clip_config.json", "model_cfg.quick_gelu 'false'"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "file", "path", "value", "parts"), WRONG)
def test_a_wrong_value_of_a_model_s_file_ends_in_one_line(
    tmp_path: Path, name: str, file: str, path: str, value: object, parts: list[str]
):
    folder = golden_folder(tmp_path, name, file, path, value)
    with ServerProcess(ready=False, MODEL_NAME=f"local-dir:{folder}") as server:
        assert server.wait() == 1
        last = server.output.splitlines()[-1]
        assert last.startswith("openclip-api: ")
        for part in (str(folder), *parts):
            assert part in last
        assert "Traceback" not in server.output


def test_a_text_with_a_token_beyond_the_table_is_refused_alone(tmp_path: Path):
    """T5's vocabularies have such tokens, and SigLIP's tables leave their vectors out."""
    token = {"id": 400, "content": "<extra_id_0>", "special": True}
    token |= dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    added = json.loads((MODELS["worldwide"] / TOKENIZER).read_text())["added_tokens"]
    folder = golden_folder(tmp_path, "worldwide", TOKENIZER, "added_tokens", [*added, token])
    with ServerProcess(MODEL_NAME=f"local-dir:{folder}") as server:
        assert server.http.post("/embeddings", json={"text": "a cat"}).status_code == 200
        answer = server.http.post("/embeddings", json={"text": ["a cat", "a <extra_id_0> cat"]})
        assert (answer.status_code, answer.json()["error"]["param"]) == (422, "text[1]")
        assert "no vector" in answer.json()["error"]["message"]


@pytest.fixture
def dead_image_tower(tmp_path: Path) -> Path:
    folder = write_tiny_checkpoint(tmp_path / "dead")
    weights = tiny_weights()
    weights["visual.proj"][:] = np.nan
    save_file(weights, folder / "open_clip_model.safetensors")
    return folder


def test_a_model_without_usable_vectors_ends_in_one_line(dead_image_tower: Path):
    with ServerProcess(ready=False, MODEL_NAME=f"local-dir:{dead_image_tower}") as server:
        assert server.wait() == 1
        assert server.output.splitlines()[-1].startswith("openclip-api: the image tower gives NaN")
        assert "Traceback" not in server.output


def test_the_self_check_can_be_turned_off(dead_image_tower: Path):
    with ServerProcess(MODEL_NAME=f"local-dir:{dead_image_tower}", SELF_CHECK="false") as server:
        assert server.http.post("/embeddings", json={"text": "a"}).status_code == 200


def test_a_taken_port_ends_at_once(tiny: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with ServerProcess(ready=False, MODEL_NAME=f"local-dir:{tiny}", PORT=taken.getsockname()[1]) as server:
            assert server.wait() == 1
            assert f"PORT={taken.getsockname()[1]}: Address already in use" in server.output
            assert "Traceback" not in server.output


def test_sigterm_while_the_model_loads_ends_soon(hub: Hub, tmp_path: Path):
    hub.fault = Slow(pause=1)
    with ServerProcess(ready=False, **hub_settings(hub, tmp_path)) as server:
        server.http.base_url = server.wait_until_listening()
        assert server.http.get("/ready").status_code == 503
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 5
        assert "Traceback" not in server.output


def test_sigterm_answers_what_was_accepted():
    with FakeServer(FAKE_ITEM_SECONDS=0.02) as server, ThreadPoolExecutor(4) as clients:
        # no two alike: all four are busy for more than a second
        texts = [[f"{client} {i}" for i in range(20)] for client in range(4)]
        waiting = [clients.submit(server.http.post, "/embeddings", json={"text": texts[i]}) for i in range(4)]
        time.sleep(0.5)  # the requests reach the server
        assert not all(request.done() for request in waiting)
        code = server.stop()
        assert [request.result().status_code for request in waiting] == [200] * len(waiting)
        assert code == 0
