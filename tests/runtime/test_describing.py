"""`openclip-api info SOURCE`: what a file, a folder or a name is, without loading it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from openclip_api.checkpoints.sources import read_source
from openclip_api.cli import main
from openclip_api.errors import UnsupportedModel
from openclip_api.runtime.describing import describe

from ..golden import MODELS, TRANSFORMERS
from ..support.forked_start import environment
from ..support.tiny_checkpoint import CONFIG, tiny_weights, write_tiny_checkpoint


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("training", "a training checkpoint, torch's zip form, names are open_clip's"),
        ("torchscript", "TorchScript, names are open_clip's"),
        ("legacy", "torch's older form, names are open_clip's"),
        ("sharded", "3 files, torch's zip form, names are open_clip's"),
        ("mixed", "safetensors, names are open_clip's"),
    ],
)
def test_folders(form: str, words: str) -> None:
    facts = describe(read_source(str(MODELS[form])))

    assert facts["form"] == words
    assert facts["towers"]
    assert facts["problem"] is None
    assert facts["bytes"] > 10_000
    assert facts["parameters"] > 10_000


def test_a_folder_of_transformers() -> None:
    facts = describe(read_source(f"local-dir:{TRANSFORMERS['clip']}"))

    assert facts["form"] == "safetensors, names are transformers'"
    assert facts["towers"] == "vision_transformer + text_transformer"
    assert facts["activation"] == "quick_gelu"


def test_a_file_whose_tensors_fit_no_name(tmp_path: Path) -> None:
    facts = describe(read_source(str(shutil.copy(MODELS["training"] / "epoch_3.pt", tmp_path))))

    assert "no OpenCLIP model fits these tensors" in str(facts["problem"])


def test_a_file_whose_tensors_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from openclip_api.checkpoints import registry

    monkeypatch.setattr(registry, "names", lambda: ["ViT-S-32", "ViT-B-32"])
    architecture = registry.architecture
    own = write_tiny_checkpoint(tmp_path / "own")
    from openclip_api.checkpoints.config import model_config

    monkeypatch.setattr(
        registry, "architecture", lambda name: model_config(CONFIG) if name == "ViT-B-32" else architecture(name)
    )
    path = Path(shutil.copy(own / "open_clip_model.safetensors", tmp_path))
    facts = describe(read_source(str(path)))

    assert facts["fits"] == ["ViT-B-32"]
    assert facts["served_by"] == f"MODEL_NAME=ViT-B-32 MODEL_PRETRAINED={path}"


def test_a_file_beside_its_config_is_served_with_it() -> None:
    facts = describe(read_source(str(MODELS["training"] / "epoch_3.pt")))

    assert facts["source"] == facts["weights"] == str(MODELS["training"] / "epoch_3.pt")
    assert facts["towers"]
    assert facts["problem"] is None


def test_a_folder_whose_tensors_do_not_fit_says_so(tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path)
    tensors = tiny_weights()
    del tensors["visual.proj"]
    save_file(tensors, folder / "open_clip_model.safetensors")

    assert "has no tensor 'visual.proj'" in str(describe(read_source(str(folder)))["problem"])


def test_bad_input_is_one_line_that_says_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "lora.safetensors"
    save_file({"unet.lora_A.weight": np.zeros(1, np.float32)}, path)
    with pytest.raises(UnsupportedModel, match="is a LoRA or similar adapter"):
        describe(read_source(str(path)))
    (tmp_path / "page.pt").write_text("<!doctype html>")
    assert main(["info", str(tmp_path / "page.pt")]) == 1
    error = capsys.readouterr().err
    assert "is a web page" in error
    assert error.count("\n") == 1


WRONG = ["ViT-B-33", "ViT-L-14", "ViT-B-32:nope", "./nowhere", "https://hf.co/a/b", "emoji:x", "a/b/c", "x.pt", "", " "]


@pytest.mark.parametrize("source", WRONG)
def test_a_wrong_source_is_the_same_line_everywhere(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = []
    for arguments in (
        ["info", source],
        ["convert", source, "out"],
        ["serve", f"--model-name={source}"],
        ["info", f"--model-name={source}"],
    ):
        assert main(arguments) == 1
        lines.append(capsys.readouterr().err.removeprefix("openclip-api: ").partition("=")[2])
    if source.strip():
        assert main(["serve", f"--models={source}"]) == 1
        lines.append(capsys.readouterr().err.removeprefix("openclip-api: ").partition("=")[2])

    assert len(set(lines)) == 1
    assert lines[0].count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.process
def test_only_headers_are_read(tmp_path: Path) -> None:
    """Of a file of 2 GB, which is a hole and takes no room on the disk."""
    import subprocess
    import sys

    shapes = {name: list(tensor.shape) for name, tensor in tiny_weights().items()} | {
        "token_embedding.weight": [10**6, 512]
    }
    header: dict[str, object] = {}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    folder = write_tiny_checkpoint(tmp_path)
    with (folder / "open_clip_model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    code = (  # ru_maxrss would count what the tests' own process held when it started this one
        "import re, sys; from openclip_api.cli import main; main(['info', sys.argv[1]]); "
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)

    assert "bytes:           2,0" in done.stdout
    assert int(done.stdout.split()[-1]) < 500_000  # kilobytes


@pytest.mark.process
def test_a_name_needs_no_network(tmp_path: Path) -> None:
    """In a process of its own, as huggingface_hub reads its settings when it is imported."""
    import subprocess
    import sys

    def info(*arguments: str) -> subprocess.CompletedProcess[str]:
        settings = environment(tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
        command = [sys.executable, "-m", "openclip_api", "info", *arguments]
        return subprocess.run(command, env=settings, capture_output=True, text=True, check=False)

    facts = json.loads(info("vit-b-32:OPENAI", "--json").stdout)
    assert facts["source"] == "ViT-B-32:openai"
    assert facts["activation"] == "quick_gelu"
    assert "not in the cache" in facts["weights"]
    assert "not all files are in the cache" in info("openai/clip-vit-base-patch32").stdout
    assert "did you mean openai/clip-vit-base-patch32" in info("clip-vit-base-patch32").stderr
    assert "ViT-B-32 has no tag 'nope'" in info("ViT-B-32:nope").stderr
