from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save, save_file

from openclip_api.checkpoints.digest import file_sha256
from openclip_api.checkpoints.safetensors import read_safetensors
from openclip_api.checkpoints.weight_files import read_weights
from openclip_api.checkpoints.weights import as_float32
from openclip_api.errors import CorruptCheckpoint, UnsupportedModel

ONES = np.ones(4, np.float32)


def safetensors(header: Any, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "open_clip_model.safetensors"


def test_the_tensors_of_a_file(path: Path):
    rng = np.random.default_rng(0)
    tensors = {
        "visual.proj": rng.normal(size=(3, 5)).astype(np.float32),
        "module.half": rng.normal(size=7).astype(np.float16),
        "logit_scale": np.array(4.6, np.float32),
        "input_resolution": np.array(224),
    }
    path.write_bytes(save(tensors, metadata={"format": "pt"}))
    weights = read_safetensors(path)

    np.testing.assert_array_equal(weights["visual.proj"], tensors["visual.proj"])
    np.testing.assert_array_equal(weights.at("visual.")["proj"], tensors["visual.proj"])
    np.testing.assert_array_equal(weights["half"], tensors["module.half"])
    assert weights.scalar("logit_scale") == pytest.approx(4.6)
    assert weights.scalar("logit_bias") is None
    assert "input_resolution" not in weights


def test_what_was_not_used_is_known(path: Path):
    path.write_bytes(save({"visual.a": ONES, "visual.b": ONES, "logit_scale": ONES}))
    weights = read_safetensors(path)
    weights.at("visual.").tensor("a", 4)

    assert list(weights.unused()) == ["visual.b"]


def test_a_missing_tensor_and_a_wrong_shape_are_named(path: Path):
    path.write_bytes(save({"visual.a": ONES}))
    visual = read_safetensors(path).at("visual.")

    with pytest.raises(CorruptCheckpoint, match=r"no tensor 'visual\.b'"):
        visual["b"]
    with pytest.raises(CorruptCheckpoint, match=r"'visual\.a' has shape \[4\], its config asks for \[2, 2\]"):
        visual.tensor("a", 2, 2)


def test_bfloat16_and_half_become_float32(path: Path):
    bits = np.array([0x3F80, 0xC040], np.uint16)  # 1, -3
    path.write_bytes(safetensors({"a": tensor([2], 0, 4, "BF16")}, bits.tobytes()))

    np.testing.assert_array_equal(as_float32(read_safetensors(path)["a"]), [1, -3])
    np.testing.assert_array_equal(as_float32(np.array([0.5], np.float16)), [0.5])


def test_a_tensor_at_an_odd_offset_is_aligned(path: Path):
    header = {"pad": tensor([1], 0, 2, "F16"), "a": tensor([4], 2, 18)}
    path.write_bytes(safetensors(header, b"\0\0" + ONES.tobytes()))
    array = read_safetensors(path)["a"]

    np.testing.assert_array_equal(array, ONES)
    assert array.flags.aligned


def test_reading_leaves_the_file_alone(path: Path):
    path.write_bytes(save({"a": ONES}))
    before = path.read_bytes()
    read_safetensors(path)["a"][:] = 7

    assert path.read_bytes() == before


WHOLE = save({"a": ONES})
DAMAGED = {
    "empty": (b"", "header too small"),
    "seven bytes": (WHOLE[:7], "header too small"),
    "cut in the header": (WHOLE[:40], "invalid header length"),
    "cut before the data": (WHOLE[:-16], "incomplete"),
    "cut by one byte": (WHOLE[:-1], "incomplete"),
    "one byte too many": (WHOLE + b"\0", "incomplete"),
    "a web page": (b"<!doctype html><html>Log in</html>", "it is a web page"),
    "a web page after a blank line": (b"\n  <html>", "it is a web page"),
    "a pickle of torch": (b"PK\x03\x04" + bytes(200), "it is a pickle"),
    "a plain pickle": (b"\x80\x04\x95" + bytes(200), "it is a pickle"),
    "a Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n", "Git LFS pointer"),
    "zeros": (bytes(4096), "invalid JSON"),
    "a header of 2**64 bytes": (b"\xff" * 8 + WHOLE[8:], "header too large"),
    "a header longer than the file": (struct.pack("<Q", 0xFFFF) + WHOLE[8:], "invalid header length"),
    "a header that is not UTF-8": (struct.pack("<Q", 4) + b"\xff\xfe{}", "invalid UTF-8"),
    "a header that is a list": (safetensors([], b""), "invalid JSON"),
    "overlapping tensors": (
        safetensors({"a": tensor([2], 0, 8), "b": tensor([2], 4, 12)}, bytes(12)),
        "invalid offset",
    ),
    "a gap between tensors": (
        safetensors({"a": tensor([1], 0, 4), "b": tensor([1], 8, 12)}, bytes(12)),
        "invalid offset",
    ),
    "offsets beyond the end": (safetensors({"a": tensor([4], 0, 16)}, bytes(8)), "incomplete"),
    "offsets the wrong way round": (safetensors({"a": tensor([1], 4, 0)}, bytes(4)), "invalid offset"),
    "a shape of another size": (safetensors({"a": tensor([3], 0, 8)}, bytes(8)), "invalid shape"),
    "a negative shape": (safetensors({"a": tensor([-1], 0, 4)}, bytes(4)), "invalid JSON"),
    "a shape that overflows": (safetensors({"a": tensor([1 << 62, 16], 0, 4)}, bytes(4)), "overflow"),
    "an unheard-of type": (safetensors({"a": tensor([1], 0, 4, "F31")}, bytes(4)), "F31"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_is_refused_with_its_path(path: Path, damage: str):
    content, reason = DAMAGED[damage]
    path.write_bytes(content)

    with pytest.raises(CorruptCheckpoint) as raised:
        read_safetensors(path)

    assert str(raised.value).startswith(f"{path} is not a whole safetensors file (")
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


def test_float64_becomes_float32(path: Path):
    path.write_bytes(save({"a": np.array([0.1, 1e300])}))
    array = read_safetensors(path)["a"]

    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, np.array([0.1, np.inf], np.float32))


@pytest.mark.parametrize("dtype", ["I64", "F8_E4M3", "BOOL"])
def test_a_type_that_no_tower_has_is_refused(path: Path, dtype: str):
    size = {"I64": 8}.get(dtype, 1)
    path.write_bytes(safetensors({"a": tensor([1], 0, size, dtype)}, bytes(size)))

    with pytest.raises(CorruptCheckpoint, match=f"tensor 'a' has type {dtype}, expected one of F32, F16, BF16"):
        read_safetensors(path)


def test_the_message_names_the_file_behind_the_caches_links(tmp_path: Path, path: Path):
    blob = tmp_path / "blob"
    blob.write_bytes(b"")
    path.symlink_to(blob)

    with pytest.raises(CorruptCheckpoint, match=str(blob)):
        read_safetensors(path)


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_a_file_that_cannot_be_opened_is_refused(path: Path, kind: str):
    if kind == "folder":
        path.mkdir()

    with pytest.raises(CorruptCheckpoint, match=f"{path} cannot be read"):
        read_safetensors(path)


def test_a_file_s_sha256(path: Path):
    content = bytes(range(256)) * 10_000  # more than one block
    path.write_bytes(content)

    assert file_sha256(path) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("outer", ["model.", "clip.", "module.model.", "model._orig_mod.", "_fsdp_wrapped_module."])
def test_what_a_training_program_puts_before_all_names(tmp_path: Path, outer: str):
    path = tmp_path / "a.safetensors"
    tensors = {"visual.conv1.weight": np.ones(2, np.float32), "ln_final.bias": np.zeros(3, np.float32)}
    save_file({outer + name: tensor for name, tensor in tensors.items()}, path)
    assert read_weights(path).tensors().keys() == tensors.keys()


def test_a_file_with_two_models(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    save_file({f"{name}.visual.proj": np.ones(2, np.float32) for name in ("student", "teacher")}, path)
    with pytest.raises(UnsupportedModel, match="several models"):
        read_weights(path)
