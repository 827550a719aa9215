"""Where in a file the towers are: below names and in dicts that training programs put around them; kinds of tensors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from openclip_api.checkpoints.weight_files import read_weights
from openclip_api.errors import StartupError, UnsupportedModel

from ..support.torch_files import (
    archive,
    call,
    mapping,
    name,
    number,
    numbers,
    refused,
    state_dict,
    storage,
    tensor,
    text,
)

FOUR = np.arange(4, dtype=np.float32)
STORED = {"0": FOUR.tobytes(), "1": (FOUR + 1).tobytes()}
KEYS = ("visual.conv1.weight", "token_embedding.weight")
TOWERS = {key: tensor("0", 4) for key in KEYS}
OTHERS = {key: tensor("1", 4) for key in KEYS}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "last.ckpt"


def inside(places: str, content: bytes) -> bytes:
    """The content at this place of a dict, beside other things that a training program keeps."""
    for place in reversed(places.split("/")):
        moments = mapping({"state": mapping({"exp_avg": tensor("9", 1 << 40)}), "param_groups": b"]"})
        content = mapping({"epoch": number(3), "optimizer": moments, place: content})
    return b"\x80\x02" + content + b"."


@pytest.mark.parametrize(
    "places", ["ema", "state_dict_ema", "clip", "checkpoint", "state/model", "checkpoint/model/state_dict", "a/b/c/d"]
)
def test_towers_in_a_dict_of_any_name(path: Path, places: str):
    path.write_bytes(archive(inside(places, mapping(TOWERS)), STORED))

    assert list(read_weights(path).tensors()) == list(KEYS)


@pytest.mark.parametrize("prefix", ["net.", "ema.", "clip-model.", "module.model.clip.", "a.b.c.d.e._orig_mod.", "0."])
@pytest.mark.parametrize("tower", ["visual.a", "vision_model.a", "text_model.a"])
def test_towers_below_any_name(path: Path, prefix: str, tower: str):
    content = {f"{prefix}{tower}": tensor("0", 4), f"{prefix}text_projection": tensor("0", 4)}
    path.write_bytes(archive(state_dict(content), STORED))

    assert read_weights(path).tensors().keys() == {"text_projection", tower}


@pytest.mark.parametrize("place", ["state_dict", "model_state_dict", "model", "module", "net", "weights"])
@pytest.mark.parametrize("other", ["ema", "model_ema", "state_dict_ema", "a_teacher"])
def test_the_model_comes_before_its_average(path: Path, place: str, other: str):
    for content in ({place: mapping(TOWERS), other: mapping(OTHERS)}, {other: mapping(OTHERS), place: mapping(TOWERS)}):
        path.write_bytes(archive(state_dict(content), STORED))
        np.testing.assert_array_equal(read_weights(path)[KEYS[0]], FOUR)


def test_the_place_with_towers_comes_before_one_without(path: Path):
    content = {"model": mapping({"weight": tensor("1", 4)}), "clip": mapping(TOWERS)}
    path.write_bytes(archive(state_dict(content), STORED))

    assert list(read_weights(path).tensors()) == list(KEYS)


def test_more_tensors_than_any_model_has(path: Path):
    """Each name is looked at several times."""
    header = {f"visual.{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(100_001)}
    content = json.dumps(header).encode()
    path.write_bytes(len(content).to_bytes(8, "little") + content)

    with pytest.raises(StartupError, match="has 100,001 tensors, more than any model"):
        read_weights(path)


def test_an_optimizer_with_the_names_of_the_model_is_no_model(path: Path):
    content = {"optim_state": mapping({"exp_avg": mapping(OTHERS)}), "ema": mapping(TOWERS)}
    path.write_bytes(archive(state_dict(content), STORED))

    np.testing.assert_array_equal(read_weights(path)[KEYS[0]], FOUR)


def test_two_models_at_unknown_places(path: Path):
    content = state_dict({"student": mapping(TOWERS), "teacher": mapping(OTHERS)})
    message = refused(path, archive(content, STORED))

    assert "several models ('student', 'teacher')" in message
    assert "torch.load('last.ckpt')['student']" in message


def test_two_models_below_unknown_names(path: Path):
    content = {f"{model}.{key}": FOUR for model in ("model", "model_ema") for key in KEYS}

    assert "several models ('model.', 'model_ema.')" in refused(path, save(content))


@pytest.mark.slow
def test_dicts_that_multiply(path: Path):
    """Each of five levels holds the next one a thousand times."""
    content = mapping({"a": tensor("0", 4)})
    for level in range(5):
        put = bytes([level])
        items = b"".join(text(str(n)) + b"h" + put for n in range(1000))
        content += b"q" + put + b"0}(" + items + b"u"

    assert "holds no model's tensors" in refused(path, archive(b"\x80\x02" + content + b"."))


def test_counters_of_averages_are_left_unread(path: Path):
    """torch.optim.swa_utils.AveragedModel."""
    average = {f"module.{key}": value for key, value in TOWERS.items()} | {"n_averaged": tensor("0", 2, "LongStorage")}
    path.write_bytes(archive(state_dict(average), STORED))

    assert list(read_weights(path).tensors()) == list(KEYS)


SIZES = numbers([4]), numbers([1])
PLAIN = (storage("0", 4), number(0), *SIZES, b"\x89", b"}")
# As torch 2.14 writes them, and numpy 2.
ODD = {
    "sparse": call(name("torch._utils", "_rebuild_sparse_tensor"), name("torch", "sparse_coo"), b")"),
    "quantised": call(name("torch._utils", "_rebuild_qtensor"), *PLAIN),
    "meta device": call(name("torch._utils", "_rebuild_meta_tensor_no_storage"), name("torch", "float32"), *SIZES),
    "nested": call(name("torch._utils", "_rebuild_nested_tensor"), tensor("0", 4)),
    "of a class of its own": call(
        name("torch._tensor", "_rebuild_from_type_v2"),
        name("torch._utils", "_rebuild_wrapper_subclass"),
        name("torch.distributed.tensor", "DTensor"),
        b"(" + name("torch", "float32") + b"t",
        b"}",
    ),
    "negated": call(name("torch._utils", "_rebuild_tensor_v2"), *PLAIN, mapping({"neg": b"\x88"})),
    "a NumPy array": call(name("numpy._core.multiarray", "_reconstruct"), name("numpy", "ndarray"), b")"),
    "not initialised": name("torch.nn.parameter", "UninitializedParameter") + b")\x81",
    "one rank's part": name("torch.distributed._shard.sharded_tensor.api", "ShardedTensor") + b")\x81",
    "somebodys.quanto QTensor": name("somebodys.quanto", "QTensor") + b")\x81",
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("place", ["", "state_dict"])
def test_a_tensor_that_is_not_plain_is_named(path: Path, kind: str, place: str):
    """To leave it out would be another model, or a line about a tensor that is there."""
    content = mapping({**TOWERS, "ln_final.weight": ODD[kind]})
    whole = inside(place, content) if place else b"\x80\x02" + content + b"."
    message = refused(path, archive(whole, STORED))

    assert "tensor 'ln_final.weight' is not plain" in message
    assert kind in message
    assert "full precision" in message


def test_an_enum_in_a_pickle(path: Path):
    """getattr(Enum, "member")(): what is called is itself what a call would give."""
    member = call(call(name("builtins", "getattr"), name("somebodys", "Enum"), text("member")), number(1))
    path.write_bytes(archive(state_dict({**TOWERS, "format": member}), STORED))

    assert list(read_weights(path).tensors()) == list(KEYS)


@pytest.mark.parametrize("kind", ["CharStorage", "ByteStorage", "IntStorage", "BoolStorage", "ComplexFloatStorage"])
def test_types_of_numbers_that_no_tower_has(path: Path, kind: str):
    path.write_bytes(archive(state_dict({**TOWERS, "ln_final.weight": tensor("0", 1, kind)}), STORED))
    with pytest.raises(StartupError, match=r"tensor 'ln_final.weight' has type \w+, expected .* full precision"):
        read_weights(path)


def test_a_whole_module_beside_an_optimizer_is_not_a_tensor(path: Path):
    path.write_bytes(archive(state_dict({"model": name("open_clip.model", "CLIP") + b")\x81"})))
    with pytest.raises(UnsupportedModel, match="a whole pickled module"):
        read_weights(path)
