"""A model in several files without an index, or with one that is not theirs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from openclip_api.checkpoints.checkpoint import find
from openclip_api.checkpoints.weight_files import read_weights, weights_sha256
from openclip_api.errors import CorruptCheckpoint

from ..golden import MODELS
from ..support.torch_files import archive, state_dict, tensor

FOUR = np.arange(4, dtype=np.float32)
PARTS = ({"model.visual.a": FOUR}, {"model.ln_final.b": FOUR + 1}, {"model.text_projection": FOUR + 2})
KEYS = ["ln_final.b", "text_projection", "visual.a"]


def as_torch(tensors: dict[str, np.ndarray]) -> bytes:
    stored = {str(place): array.tobytes() for place, array in enumerate(tensors.values())}
    return archive(state_dict({key: tensor(str(place), 4) for place, key in enumerate(tensors)}), stored)


FORMS: dict[str, tuple[str, Callable[[dict[str, np.ndarray]], bytes]]] = {
    "safetensors": ("model-{:05}-of-00003.safetensors", save),
    "torch": ("pytorch_model-{:05}-of-00003.bin", as_torch),
}


@pytest.fixture(params=FORMS)
def shards(tmp_path: Path, request: pytest.FixtureRequest) -> list[Path]:
    name, write = FORMS[request.param]
    paths = [tmp_path / name.format(number) for number in (1, 2, 3)]
    for path, part in zip(paths, PARTS, strict=True):
        path.write_bytes(write(part))
    return paths


def write_index(shards: list[Path]) -> Path:
    """The name before all tensors is found although two of the files have no image tower."""
    path = shards[0].with_name(f"{shards[0].name.partition('-')[0]}{shards[0].suffix}.index.json")
    weight_map = {key: shard.name for shard, part in zip(shards, PARTS, strict=True) for key in part}
    path.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    return path


def test_numbered_files_are_one_model(shards: list[Path]):
    for shard in shards:
        weights = read_weights(shard)
        assert sorted(weights.tensors()) == KEYS
        np.testing.assert_array_equal(weights["text_projection"], FOUR + 2)
    assert len({weights_sha256(shard) for shard in shards}) == 1


def test_an_index_beside_them_says_the_same(shards: list[Path]):
    without = weights_sha256(shards[0])
    index = write_index(shards)

    assert sorted(read_weights(index).tensors()) == sorted(read_weights(shards[1]).tensors()) == KEYS
    assert weights_sha256(index) == weights_sha256(shards[1]) == without


def test_a_file_that_is_missing_is_named(shards: list[Path]):
    shards[1].unlink()

    with pytest.raises(CorruptCheckpoint, match=f"1 of 3 are missing, first {shards[1].name}: download all"):
        read_weights(shards[0])


def test_a_number_beyond_their_count(shards: list[Path]):
    wrong = shards[0].rename(shards[0].with_name(shards[0].name.replace("00001", "00007")))

    with pytest.raises(CorruptCheckpoint, match="is one of several files of a model, and 1 of 3 are missing"):
        read_weights(wrong)


def test_a_model_of_one_of_five_trainings_is_whole(tmp_path: Path):
    path = tmp_path / "fold-1-of-5.safetensors"
    path.write_bytes(save(PARTS[0]))

    assert list(read_weights(path).tensors()) == ["visual.a"]


def test_too_many_files(tmp_path: Path):
    path = tmp_path / "model-00001-of-99999.safetensors"
    path.write_bytes(save(PARTS[0]))

    with pytest.raises(CorruptCheckpoint, match="its number is wrong"):
        read_weights(path)


def test_a_tensor_in_two_files(shards: list[Path]):
    shutil.copy(shards[0], shards[1])

    with pytest.raises(CorruptCheckpoint, match=r"has the tensor 'model.visual.a', and model-|pytorch_model-.* too"):
        read_weights(shards[2])


def test_an_index_that_names_not_all_of_the_numbers(shards: list[Path]):
    index = write_index(shards)
    written = json.loads(index.read_text())
    del written["weight_map"]["model.ln_final.b"]
    index.write_text(json.dumps(written))

    with pytest.raises(CorruptCheckpoint, match=f"but not {shards[1].name}: download the index again"):
        read_weights(index)


def test_an_index_of_another_model(shards: list[Path]):
    index = write_index(shards)
    for shard, part in zip(shards, PARTS, strict=True):
        more = {**part, f"{next(iter(part))}.more": FOUR, "position_ids": FOUR}
        shard.write_bytes(save(more) if shard.suffix == ".safetensors" else as_torch(more))

    with pytest.raises(CorruptCheckpoint, match=r"names 2 tensors of .* nowhere, first 'model.visual.a.more'"):
        read_weights(index)


def test_a_folder_of_numbered_files(tmp_path: Path):
    folder = tmp_path / "model"
    shutil.copytree(MODELS["sharded"], folder)
    whole = read_weights(find(f"local-dir:{folder}").weights).tensors()
    (folder / "pytorch_model.bin.index.json").unlink()

    assert read_weights(find(f"local-dir:{folder}").weights).tensors().keys() == whole.keys()
