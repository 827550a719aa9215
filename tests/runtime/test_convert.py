"""`openclip-api convert`: whatever form comes in, a folder of open_clip's layout comes out, or nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from openclip_api import load
from openclip_api.checkpoints.sources import LocalFolder
from openclip_api.cli import main
from openclip_api.errors import CannotWrite, InvalidSetting
from openclip_api.runtime.convert import convert

from ..golden import GOLDEN, MODELS, TRANSFORMERS
from ..support.tiny_checkpoint import write_tiny_checkpoint

IMAGE = (GOLDEN / "images" / "rgb.png").read_bytes()
WRITTEN = {"open_clip_config.json", "open_clip_model.safetensors", "tokenizer.json", "tokenizer_config.json"}


def vectors(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The texts one by one: which of them share a batch is a matter of time, and changes the last bits."""
    with closing(load(f"local-dir:{folder}", precision="fp32")) as embedder:
        texts = [embedder.embed_texts([text]) for text in ("a photo of a cat", "x")]
        return embedder.embed_images([IMAGE]), np.concatenate(texts)


@pytest.mark.parametrize("form", ["training", "torchscript", "legacy", "sharded", "mixed", "siglip", "coca", "nllb"])
def test_each_form(tmp_path: Path, form: str) -> None:
    """mixed has bfloat16 beside others: no number changes."""
    source = MODELS[form]
    convert(LocalFolder(source), tmp_path / "out")

    assert {path.name for path in (tmp_path / "out").iterdir()} == WRITTEN
    for ours, theirs in zip(vectors(tmp_path / "out"), vectors(source), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_transformers_layout(tmp_path: Path) -> None:
    """Images and texts are then prepared as open_clip does it: equal for a plain text."""
    main(["convert", str(TRANSFORMERS["clip"]), str(tmp_path / "out")])
    ours, theirs = vectors(tmp_path / "out"), vectors(TRANSFORMERS["clip"])

    np.testing.assert_allclose(ours[1], theirs[1], atol=1e-6)
    names = load_file(tmp_path / "out" / "open_clip_model.safetensors")
    assert "visual.transformer.resblocks.0.attn.in_proj_weight" in names


def test_older_tokenizer_files_become_one(tmp_path: Path) -> None:
    """CLIP's vocab.json and merges.txt, as openai/clip-vit-base-patch32 first had them."""
    source = Path(shutil.copytree(TRANSFORMERS["clip"], tmp_path / "source"))
    whole = json.loads((source / "tokenizer.json").read_text())["model"]
    (source / "vocab.json").write_text(json.dumps(whole["vocab"]))
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in whole["merges"]]
    (source / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    (source / "tokenizer.json").unlink()
    convert(LocalFolder(source), tmp_path / "out")

    np.testing.assert_allclose(vectors(tmp_path / "out")[1], vectors(TRANSFORMERS["clip"])[1], atol=1e-6)


def test_what_open_clip_has_no_tower_for_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(TRANSFORMERS["chinese_clip"]), str(tmp_path / "out")]) == 1
    assert "open_clip takes a BERT text tower from its repository alone" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_name_with_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The tensors do not fit ViT-B-32: nothing is written."""
    path = MODELS["training"] / "epoch_3.pt"
    assert main(["convert", f"ViT-B-32:openai:{path}", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert str(path) in error
    assert "its config asks for" in error
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("mine")
    with pytest.raises(InvalidSetting, match="out is not a folder: name a new one"):
        convert(LocalFolder(MODELS["mixed"]), out)
    for source in (MODELS["mixed"], write_tiny_checkpoint(tmp_path / "source")):
        with pytest.raises(InvalidSetting, match="is not empty: name a new folder"):
            convert(LocalFolder(source), tmp_path / "source")
    assert out.read_text() == "mine"


def test_an_empty_folder_is_filled_and_not_replaced(tmp_path: Path) -> None:
    """It may be where something is mounted, or a link."""
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    before = (tmp_path / "there").stat().st_ino
    convert(LocalFolder(MODELS["mixed"]), tmp_path / "link")

    assert {path.name for path in (tmp_path / "there").iterdir()} == WRITTEN
    assert (tmp_path / "there").stat().st_ino == before


def test_an_empty_folder_and_folders_above_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    assert main(["convert", f"local-dir:{MODELS['mixed']}", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model_name"] == f"local-dir:{tmp_path / 'out'}"
    assert main(["convert", f"local-dir:{MODELS['mixed']}", str(tmp_path / "a" / "b")]) == 0
    assert (tmp_path / "a" / "b" / "open_clip_model.safetensors").stat().st_mode & 0o077 == 0o044


@pytest.mark.parametrize("place", ["/proc/nowhere", "/dev/null/x", "/proc/nowhere/a/b", "x" * 300, "/dev/null"])
def test_a_place_that_cannot_be_written(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((CannotWrite, InvalidSetting)) as raised:
        convert(LocalFolder(MODELS["mixed"].absolute()), Path(place))
    assert place in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_spelled_as_a_source_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    source = str(MODELS["mixed"].absolute())
    monkeypatch.chdir(tmp_path)
    for directory, name in [("~/a b", "a b"), (f"file://{tmp_path}/c%20d", "c d"), ("./e", "e")]:
        assert main(["convert", source, directory]) == 0
        assert str(tmp_path / name) in capsys.readouterr().out
        assert main(["info", directory]) == 0
    assert main(["convert", source, ""]) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"a b", "c d", "e"}


@pytest.mark.process
def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    code = "import resource, sys; from openclip_api.cli import main; limit = (50_000, 50_000)"
    code += "; resource.setrlimit(resource.RLIMIT_FSIZE, limit); sys.exit(main(sys.argv[1:]))"
    arguments = ["convert", str(MODELS["mixed"]), str(tmp_path / "not yet there" / "out")]
    # -B: under this limit half of a compiled module might be written
    done = subprocess.run([sys.executable, "-B", "-c", code, *arguments], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_interrupted_it_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("openclip_api.runtime.convert.write_weights", interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert(LocalFolder(MODELS["mixed"]), tmp_path / "out")

    assert list(tmp_path.iterdir()) == []


def test_a_tiny_model_with_clip_s_own_tokenizer(tmp_path: Path) -> None:
    source = write_tiny_checkpoint(tmp_path / "source")
    convert(LocalFolder(source), tmp_path / "out")

    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "open_clip_config.json", "open_clip_model.safetensors"
    }  # fmt: skip
    np.testing.assert_array_equal(vectors(tmp_path / "out")[0], vectors(source)[0])
