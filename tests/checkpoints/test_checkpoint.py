"""find() without a network: the kinds of name that need none, and what a Checkpoint says of itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from openclip_api.checkpoints.checkpoint import Checkpoint, find
from openclip_api.checkpoints.config import PreprocessConfig, model_config
from openclip_api.errors import CorruptCheckpoint, OpenClipApiError, UnknownModel

from .conftest import CONFIG, weights


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An OpenCLIP folder."""
    folder = tmp_path / "small-clip"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps(CONFIG))
    (folder / "open_clip_model.safetensors").write_bytes(weights())
    return folder


def with_tokenizer(folder: Path, content: str = "{}") -> Path:
    config = {**CONFIG, "model_cfg": {**CONFIG["model_cfg"], "text_cfg": {"hf_tokenizer_name": "org/words"}}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text(content)
    return folder


def test_a_folder(folder: Path):
    found = find(f"local-dir:{folder}")

    assert found == Checkpoint(
        model_id="OpenCLIP-small-clip",
        name=f"local-dir:{folder}",
        tag=None,
        config=model_config(CONFIG["model_cfg"]),
        preprocess=PreprocessConfig(size=32),
        weights=folder / "open_clip_model.safetensors",
        tokenizer=None,
        sha256=None,
    )


def test_a_folder_needs_no_prefix(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)

    assert find(str(folder)).weights == folder / "open_clip_model.safetensors"
    assert find("./").weights == folder / "open_clip_model.safetensors"


def test_a_file_beside_its_config(folder: Path):
    """The folder alone would not tell which epoch is meant."""
    (folder / "open_clip_model.safetensors").rename(folder / "epoch_3.safetensors")
    (folder / "epoch_4.safetensors").write_bytes(weights())
    found = find(str(folder / "epoch_4.safetensors"))

    assert found.weights == folder / "epoch_4.safetensors"
    assert found.config == find(str(folder)).config
    assert found.name == str(folder / "epoch_4.safetensors")


def test_a_file_without_a_config(folder: Path):
    path = (folder / "open_clip_model.safetensors").rename(folder.parent / "bare.safetensors")

    with pytest.raises(UnknownModel, match=f"write the name before it, as in ViT-B-32:{path}"):
        find(str(path))


def test_model_safetensors_of_another_library_is_not_preferred(folder: Path):
    """transformers calls its file so; open_clip's own may lie beside it under any name."""
    (folder / "open_clip_model.safetensors").unlink()
    (folder / "model.safetensors").write_bytes(save({"vision_model.x": np.zeros(1, np.float32)}))
    (folder / "my-clip.safetensors").write_bytes(save({"visual.x": np.zeros(1, np.float32)}))

    assert find(f"local-dir:{folder}").weights.name == "my-clip.safetensors"


def test_a_folder_in_the_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(folder.parent))

    assert find("local-dir:~/small-clip").weights == folder / "open_clip_model.safetensors"


def test_the_known_names_of_weights_come_first(folder: Path):
    for name in ("aaa.safetensors", "model.safetensors"):
        (folder / name).write_bytes(b"")
    assert find(f"local-dir:{folder}").weights.name == "open_clip_model.safetensors"

    (folder / "open_clip_model.safetensors").unlink()
    assert find(f"local-dir:{folder}").weights.name == "model.safetensors"

    (folder / "model.safetensors").unlink()
    assert find(f"local-dir:{folder}").weights.name == "aaa.safetensors"


def test_a_folder_brings_its_own_tokenizer(folder: Path):
    assert find(f"local-dir:{with_tokenizer(folder)}").tokenizer == folder


@pytest.mark.parametrize("missing", ["tokenizer.json", "tokenizer_config.json"])
def test_a_missing_tokenizer_file_is_named(folder: Path, missing: str):
    (with_tokenizer(folder) / missing).unlink()

    with pytest.raises(UnknownModel, match=f"{folder} has no {missing}, which its config's hf_tokenizer_name asks for"):
        find(f"local-dir:{folder}")


def test_half_a_tokenizer_is_refused(folder: Path):
    with_tokenizer(folder, '{"model": {"voc')

    with pytest.raises(CorruptCheckpoint, match=r"tokenizer.json is not whole JSON"):
        find(f"local-dir:{folder}")


def remove(name: str):
    return lambda folder: (folder / name).unlink()


def write(name: str, text: str):
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (remove("open_clip_config.json"), UnknownModel, "open_clip_config.json: no such file"),
        (write("open_clip_config.json", "{"), CorruptCheckpoint, "open_clip_config.json is not JSON"),
        (remove("open_clip_model.safetensors"), UnknownModel, "has no weights: a .safetensors, .bin"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused(folder: Path, spoil, error: type[OpenClipApiError], message: str):
    spoil(folder)

    with pytest.raises(error) as raised:
        find(f"local-dir:{folder}")

    assert str(folder) in str(raised.value)
    assert message in str(raised.value)


def test_a_file_for_a_known_name(folder: Path):
    path = folder / "open_clip_model.safetensors"
    found = find("ViT-B/16-quickgelu", str(path))

    assert (found.model_id, found.name, found.tag) == (
        "OpenCLIP-ViT-B-16-quickgelu-open_clip_model",
        "ViT-B-16-quickgelu",
        str(path),
    )
    assert found.weights == path
    assert found.config.quick_gelu
    assert found.warning is None


def test_a_file_for_a_name_whose_tags_differ(folder: Path):
    """A file does not tell whether it was trained with QuickGELU, or with which mean."""
    path = folder / "open_clip_model.safetensors"
    bare = find("ViT-L-14", str(path))
    openai = find("ViT-L-14", f"openai:{path}")
    laion = find("ViT-L-14", f"LAION2B-s32b-b82k:{path}")

    assert f"MODEL_PRETRAINED=openai:{path}" in str(bare.warning)
    assert (bare.config.quick_gelu, bare.preprocess.mean[0]) == (False, 0.48145466)
    assert (openai.config.quick_gelu, openai.preprocess.mean[0]) == (True, 0.48145466)
    assert (laion.config.quick_gelu, laion.preprocess.mean[0]) == (False, 0.5)
    assert openai.warning is laion.warning is None
    assert bare.weights == openai.weights == laion.weights == path
    assert openai.model_id == "OpenCLIP-ViT-L-14-open_clip_model"


def test_verify():
    promised = Checkpoint(
        "id",
        "name",
        None,
        model_config(CONFIG["model_cfg"]),
        PreprocessConfig(),
        Path("weights"),
        None,
        sha256="ab" * 32,
    )
    promised.verify("ab" * 32)
    replace(promised, sha256=None).verify("cd" * 32)

    with pytest.raises(CorruptCheckpoint, match=r"weights is damaged .*cdcdcdcdcdcd.*: delete it and start again"):
        promised.verify("cd" * 32)


def test_the_fingerprint_depends_on_everything_that_changes_a_vector(folder: Path):
    found = find(f"local-dir:{with_tokenizer(folder)}")
    fingerprints = [
        found.fingerprint("ab", "fp32"),
        found.fingerprint("cd", "fp32"),
        found.fingerprint("ab", "bf16"),
        replace(found, config=model_config({**found.config.as_written, "quick_gelu": True})).fingerprint("ab", "fp32"),
        replace(found, tokenizer=None).fingerprint("ab", "fp32"),
    ]
    for change in (
        {"size": 48},
        {"mean": (0.0,) * 3},
        {"std": (1.0,) * 3},
        {"interpolation": "bilinear"},
        {"resize_mode": "squash"},
        {"fill_color": 1},
    ):
        changed = replace(found, preprocess=replace(found.preprocess, **change))
        fingerprints.append(changed.fingerprint("ab", "fp32"))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text('{"changed": true}')
        fingerprints.append(found.fingerprint("ab", "fp32"))

    assert len(set(fingerprints)) == len(fingerprints)
    assert all(len(fingerprint) == 16 for fingerprint in fingerprints)


def test_the_fingerprint_does_not_depend_on_where_the_model_is(folder: Path):
    before = find(f"local-dir:{with_tokenizer(folder)}").fingerprint("ab", "fp32")
    moved = folder.rename(folder.with_name("elsewhere"))

    assert find(f"local-dir:{moved}").fingerprint("ab", "fp32") == before
