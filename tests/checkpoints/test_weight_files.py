"""Any file with weights: told by its content, whatever its name; what it is instead, in one line; shards."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from openclip_api import load
from openclip_api.checkpoints.checkpoint import find
from openclip_api.checkpoints.safetensors import is_safetensors, write_safetensors
from openclip_api.checkpoints.weight_files import read_weights, weights_sha256
from openclip_api.errors import CorruptCheckpoint, StartupError, UnsupportedModel

from ..golden import MODELS, TEXTS, arrays
from ..support.torch_files import archive, call, legacy, mapping, name, number, state_dict, tensor

FOUR = np.arange(4, dtype=np.float32)
PICKLE = state_dict({"a": tensor("0", 4)})
STORED = {"0": FOUR.tobytes()}


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".bin", ".json", ""])
@pytest.mark.parametrize("content", [save({"a": FOUR}), archive(PICKLE, STORED), legacy(PICKLE, STORED)])
def test_the_content_decides_and_not_the_name(tmp_path: Path, suffix: str, content: bytes):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)

    np.testing.assert_array_equal(read_weights(path)["a"], FOUR)
    assert weights_sha256(path) == hashlib.sha256(content).hexdigest()


def zipped(*names: str, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as written:
        for member in names:
            written.writestr(member, b"some text " * 30)
    return file.getvalue()


def saved(write: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def encrypted(content: bytes) -> bytes:
    """With the flag of each member set that it is encrypted."""
    parts = content.split(b"PK\x01\x02")
    return b"PK\x01\x02".join([parts[0], *(part[:4] + b"\x01" + part[5:] for part in parts[1:])])


def tarred() -> bytes:
    return saved(lambda file: tarfile.open(fileobj=file, mode="w").addfile(tarfile.TarInfo("storages")))


MODULE = call(name("open_clip.model", "CLIP")) + mapping({"_modules": b"}"}) + b"b"
OPTIMIZER = {"state": mapping({"exp_avg": tensor("0", 4)}), "param_groups": b"]"}
LORA = {"base_model.model.visual.attn.q_proj.lora_A.weight": FOUR}
SAVE = "torch.save(model.state_dict(), path)"

GIVE = "give a safetensors file"
MERGE, NO_TOWER, FETCH = "merge_and_unload", "no image tower", "download it again"
PACKED = "is packed"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n"
TORCH = archive(PICKLE, STORED)
DIFFUSION = {"state_dict": mapping({"model.diffusion_model.a": tensor("0", 4)})}

# The error's class, content, what the line says, and what would work.
SOMETHING_ELSE: dict[str, tuple[bytes, str, str]] = {
    "a whole module": (archive(b"\x80\x02" + MODULE + b"."), "a whole pickled module", SAVE),
    "a whole module in the older form": (legacy(b"\x80\x02" + MODULE + b".", {}), "('open_clip.model.CLIP')", SAVE),
    "a module in a checkpoint": (archive(state_dict({"model": MODULE})), "a whole pickled module", SAVE),
    "only an optimizer": (archive(state_dict(OPTIMIZER), STORED), "an optimizer's state", "model's tensors"),
    "a checkpoint without a model": (
        archive(state_dict({"epoch": number(3), "optimizer": mapping(OPTIMIZER)}), STORED),
        "an optimizer's state",
        "model's tensors",
    ),
    "a list": (archive(b"\x80\x02]."), "holds no model's tensors", SAVE),
    "a LoRA adapter": (save(LORA), "is a LoRA or similar adapter", MERGE),
    "another adapter": (
        archive(state_dict({"q.lora_down.weight": tensor("0", 4)})),
        "is a LoRA or similar adapter",
        MERGE,
    ),
    "a UNet": (save({"down_blocks.0.a": FOUR}), "is a diffusion model", NO_TOWER),
    "Stable Diffusion": (archive(state_dict(DIFFUSION)), "is a diffusion model", NO_TOWER),
    "GGUF": (b"GGUF\x03\0\0\0" + bytes(40), "a GGUF file", GIVE),
    "ONNX": (b"\x08\x08\x12\x07pytorch\x1a\x032.1" + bytes(9), "an ONNX model", GIVE),
    "TensorFlow": (b"\x08\x01\x12\xa0\x92\x03" + bytes(9), "a TensorFlow graph", GIVE),
    "TensorFlow Lite": (b"\x1c\0\0\0TFL3" + bytes(9), "a TensorFlow Lite model", GIVE),
    "Keras": (b"\x89HDF\r\n\x1a\n" + bytes(40), "an HDF5 file", GIVE),
    "Flax": (b"\x83\xablogit_scale\xc7\x11\x01\x93" + bytes(9), "a msgpack file of Flax", GIVE),
    "big_vision": (saved(lambda file: np.savez(file, a=FOUR)), "a NumPy archive (.npz)", "webli"),
    "big_vision, compressed": (saved(lambda file: np.savez_compressed(file, a=FOUR)), "a NumPy archive", "webli"),
    "an array": (saved(lambda file: np.save(file, FOUR)), "a NumPy array", GIVE),
    "OpenVINO": (b'<?xml version="1.0"?>\n<net name="x">', "is XML", GIVE),
    "a plain pickle": (b"\x80\x04\x95\x10\0\0\0\0\0\0\0}.", "but not from torch.save", GIVE),
    "a text": (b"just a note\n", "is a text", GIVE),
    "a JSON text": (b'{"error": "Repository not found"}', "is JSON, but not an index", GIVE),
    "random bytes": (bytes(range(255, 0, -1)), "of a form that is not known", GIVE),
    "a plain zip": (zipped("a.txt", "b/c.bin"), "a zip archive, but not from torch", "unpack it"),
    "an empty zip": (zipped(), "a zip archive, but not from torch", "unpack it"),
    "a program of torch.export": (zipped("m/archive_format", "m/models/model.json"), "torch.export", SAVE),
    "a tar archive": (tarred(), PACKED, "unpacked first"),
    "a packed checkpoint": (gzip.compress(TORCH), PACKED, "unpacked first"),
    "a checkpoint of which only the end came": (TORCH[100:], "of a form that is not known", GIVE),
}
DAMAGED: dict[str, tuple[bytes, str, str]] = {
    "a web page": (b"<!DOCTYPE html><html>Log in</html>", "is a web page", FETCH),
    "a web page with a mark": (b"\xef\xbb\xbf\n<html>", "is a web page", FETCH),
    "a Git LFS pointer": (LFS, "Git LFS pointer", "git lfs pull"),
    "an empty file": (b"", "is empty", FETCH),
    "an encrypted zip": (encrypted(zipped("a.txt")), "is encrypted", "unpack the archive"),
    "a cut checkpoint": (TORCH[:200], "a download that was cut", FETCH),
    "a cut legacy checkpoint": (legacy(PICKLE, STORED)[:-3], "was cut", FETCH),
    "a cut safetensors file": (save({"a": FOUR})[:-3], "incomplete", FETCH),
    "packed anew": (
        archive(PICKLE, STORED, compression=zipfile.ZIP_DEFLATED),
        "is a compressed zip",
        "save it with torch",
    ),
}
CASES = [(UnsupportedModel, *case) for case in SOMETHING_ELSE.items()]
CASES += [(CorruptCheckpoint, *case) for case in DAMAGED.items()]


@pytest.mark.parametrize(("error", "kind", "case"), CASES, ids=[kind for _, kind, _ in CASES])
@pytest.mark.parametrize("file", ["epoch_3.pt", "pytorch_model.bin", "open_clip_model.safetensors", "model.onnx"])
def test_what_a_file_is_instead(
    tmp_path: Path, file: str, error: type[StartupError], kind: str, case: tuple[bytes, str, str]
):
    """Read as the weights of a folder, as a user has them."""
    content, what, instead = case
    if "not known" in what and file.endswith(".safetensors"):
        error, what, instead = CorruptCheckpoint, "is not a whole safetensors file", FETCH
    folder = tmp_path / "model"
    shutil.copytree(MODELS["training"], folder, ignore=shutil.ignore_patterns("epoch_3.pt", "expected.npz"))
    (folder / file).write_bytes(content)

    with pytest.raises(error) as raised:
        load(f"local-dir:{folder}")
    message = str(raised.value)
    assert str(folder / file) in message
    assert what in message
    assert instead in message
    assert "\n" not in message
    assert len(message) < 400


OTHER_FOLDERS: dict[str, tuple[list[str], str, str]] = {
    "a diffusers pipeline": (["model_index.json", "unet/config.json"], "is a diffusers pipeline", "no image tower"),
    "an adapter": (["adapter_config.json"], "is a LoRA or similar adapter", "merge_and_unload"),
    "a distributed checkpoint": ([".metadata", "__0_0.distcp"], "is a distributed checkpoint", "dcp_to_torch"),
}


@pytest.mark.parametrize("kind", OTHER_FOLDERS)
def test_what_a_folder_is_instead(tmp_path: Path, kind: str):
    names, what, instead = OTHER_FOLDERS[kind]
    for file in names:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("{}")

    with pytest.raises(UnsupportedModel) as raised:
        find(f"local-dir:{tmp_path}")
    assert what in str(raised.value)
    assert instead in str(raised.value)


def test_an_error_about_a_tensor_names_the_file(tmp_path: Path):
    shutil.copytree(MODELS["training"], tmp_path / "model", ignore=shutil.ignore_patterns("epoch_3.pt"))
    path = tmp_path / "model" / "model.safetensors"
    path.write_bytes(save({"visual.conv1.weight": FOUR}))
    with pytest.raises(CorruptCheckpoint, match=f"^{path}: tensor 'visual.conv1.weight' has shape"):
        load(f"local-dir:{tmp_path / 'model'}")
    path.write_bytes(save({"a": FOUR}))
    with pytest.raises(CorruptCheckpoint, match=f"^{path} has no image tower"):
        load(f"local-dir:{tmp_path / 'model'}")


def test_two_tensors_of_one_key(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(save({"module.a": FOUR, "a": FOUR}))

    with pytest.raises(CorruptCheckpoint, match=f"^{path} has two tensors 'a'"):
        read_weights(path)


SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.fixture
def index(tmp_path: Path) -> Path:
    for place, file in enumerate(SHARDS):
        (tmp_path / file).write_bytes(save({"ab"[place]: FOUR + place}))
    return write_index(tmp_path, {"a": SHARDS[0], "b": SHARDS[1]})


def write_index(folder: Path, weight_map: Any) -> Path:
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 32}, "weight_map": weight_map}))
    return path


def test_shards_are_read_together(index: Path):
    weights = read_weights(index)

    np.testing.assert_array_equal(weights["a"], FOUR)
    np.testing.assert_array_equal(weights["b"], FOUR + 1)


def test_each_tensor_comes_from_the_shard_that_the_index_names(index: Path):
    (index.parent / SHARDS[0]).write_bytes(save({"a": FOUR, "b": FOUR}))
    weights = read_weights(index)

    np.testing.assert_array_equal(weights["b"], FOUR + 1)


def test_shards_of_both_forms(index: Path):
    (index.parent / "one.safetensors").write_bytes(save({"a": FOUR}))
    (index.parent / "another.bin").write_bytes(archive(state_dict({"c": tensor("0", 4)}), STORED))
    write_index(index.parent, {"a": "one.safetensors", "c": "another.bin"})

    assert sorted(read_weights(index).tensors()) == ["a", "c"]


def test_the_sha256_of_shards_is_that_of_all_their_bytes(index: Path):
    before = weights_sha256(index)
    write_index(index.parent, {"b": SHARDS[1], "a": SHARDS[0]})
    assert weights_sha256(index) == before

    (index.parent / SHARDS[1]).write_bytes(save({"b": FOUR}))
    assert weights_sha256(index) != before


def test_released_shards_are_read_anew_from_all_files(index: Path):
    weights = read_weights(index)
    for key in "ab":
        weights[key][:] = 9  # on pages of this process, which go with the mapping's
    weights.release()

    np.testing.assert_array_equal(weights["a"], FOUR)
    np.testing.assert_array_equal(weights["b"], FOUR + 1)


@pytest.mark.parametrize(
    ("weight_map", "reason"),
    [
        ({"a": "../secret.safetensors"}, "no file beside it: '../secret.safetensors'"),
        ({"a": "/etc/passwd"}, "no file beside it: '/etc/passwd'"),
        ({"a": "sub/model.safetensors"}, "no file beside it"),
        ({"a": "..\\secret.safetensors"}, "no file beside it"),
        ({"a": ".."}, "no file beside it"),
        ({"a": ""}, "no file beside it"),
        ({"a": "\0"}, "no file beside it"),
        ({"a": "a" * 5000}, "no file beside it"),
        ({"a": 5}, "no file beside it: 5"),
        ({"a": "model-3.safetensors"}, "names model-3.safetensors, which is not in its folder"),
        ({"a": "model-00003-of-00002.safetensors"}, "but not model-00001-of-00002.safetensors"),
        ({"a": SHARDS[0], "c": SHARDS[1]}, f"says that {SHARDS[1]} has the tensor 'c', but it does not"),
        ({}, "names 0 shards"),
        ({str(n): f"{n}.safetensors" for n in range(2000)}, "names 2000 shards"),
        ({"a": "model.safetensors.index.json"}, "is JSON, but not an index"),
    ],
)
def test_an_index_that_lies(index: Path, weight_map: Any, reason: str):
    write_index(index.parent, weight_map)

    with pytest.raises(StartupError) as raised:
        read_weights(index)
    assert reason in str(raised.value)
    assert str(index.parent) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_two_shards_with_one_key(index: Path):
    (index.parent / SHARDS[1]).write_bytes(save({"module.a": FOUR}))
    write_index(index.parent, {"a": SHARDS[0], "module.a": SHARDS[1]})

    with pytest.raises(CorruptCheckpoint, match=f"^{index} has two tensors 'a'"):
        read_weights(index)


def test_a_shard_that_is_cut_is_named(index: Path):
    shard = index.parent / SHARDS[1]
    shard.write_bytes(shard.read_bytes()[:-1])

    with pytest.raises(CorruptCheckpoint, match=f"{SHARDS[1]} is not a whole safetensors file"):
        read_weights(index)


def test_a_folder_with_shards_is_not_taken_for_its_first_shard(tmp_path: Path):
    folder = tmp_path / "model"
    shutil.copytree(MODELS["sharded"], folder)
    whole = read_weights(find(f"local-dir:{folder}").weights)
    for old in folder.glob("pytorch_model*"):
        old.unlink()
    keys = list(whole.tensors())
    for place, file in enumerate(SHARDS):
        write_safetensors({key: whole[key] for key in keys[place::2]}, folder / file)
    write_index(folder, {key: SHARDS[place % 2] for place, key in enumerate(keys)})
    with closing(load(f"local-dir:{folder}", precision="fp32")) as embedder:
        vectors = embedder.embed_texts(TEXTS["models"])

    np.testing.assert_allclose(vectors, arrays(folder / "expected.npz")["text_vectors"], atol=1e-4)


def test_what_is_written_as_safetensors_is_the_same(tmp_path: Path):
    for form in ("training", "torchscript", "legacy", "sharded"):
        weights = read_weights(find(f"local-dir:{MODELS[form]}").weights)
        write_safetensors(weights.tensors(), tmp_path / "a.safetensors")
        again = read_weights(tmp_path / "a.safetensors").tensors()

        assert is_safetensors(tmp_path / "a.safetensors")
        assert again.keys() == weights.tensors().keys()
        for key, array in weights.tensors().items():
            assert again[key].dtype == array.dtype
            np.testing.assert_array_equal(again[key], array)
