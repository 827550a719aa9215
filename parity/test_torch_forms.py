"""Files that torch, open_clip and its training program write: the tensors that torch's own reader gives, bit by bit."""

from __future__ import annotations

import argparse
import io
import json
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from huggingface_hub import save_torch_state_dict
from PIL import Image

from openclip_api import load
from openclip_api.checkpoints.checkpoint import find
from openclip_api.checkpoints.tower_keys import tower_key
from openclip_api.checkpoints.weight_files import read_weights
from openclip_api.errors import CorruptCheckpoint, UnsupportedModel
from tests.golden import MODELS

from . import torch_forms
from .conftest import LEAST_COSINE
from .random_models import save_random_model
from .samples import BATCH_OF_TEXTS, photographs

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::torch.jit.TracerWarning")

CONFIG = {
    "embed_dim": 20,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 24, "head_width": 12, "layers": 2},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
Tensors = Mapping[str, torch.Tensor]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random_model(tmp_path_factory.mktemp("model"), CONFIG)


@pytest.fixture
def model(folder: Path) -> torch.nn.Module:
    return open_clip.create_model(f"local-dir:{folder}").eval()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.pt"


def bits(tensor: torch.Tensor) -> np.ndarray:
    """As Weights has them: bfloat16 as uint16, float64 as float32."""
    tensor = tensor.detach().contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.uint16).numpy()
    return (tensor.float() if tensor.dtype == torch.float64 else tensor).numpy()


def assert_equal(path: Path, expected: Tensors) -> None:
    ours = read_weights(path).tensors()
    theirs = {key: bits(tensor) for name, tensor in expected.items() if (key := tower_key(name)) is not None}
    assert ours.keys() == theirs.keys()
    assert theirs
    for key, tensor in theirs.items():
        assert ours[key].dtype == tensor.dtype, key
        assert ours[key].shape == tensor.shape, key
        assert ours[key].tobytes() == tensor.tobytes(), key


def loaded(path: Path) -> Tensors:
    content = torch.load(path, map_location="cpu", weights_only=True)
    return content.get("state_dict", content)


SAVED: dict[str, Callable[[torch.nn.Module, Path], object]] = {
    "zip": lambda model, path: torch.save(model.state_dict(), path),
    "older form": lambda model, path: torch.save(model.state_dict(), path, _use_new_zipfile_serialization=False),
    "protocol 4": lambda model, path: torch.save(model.state_dict(), path, pickle_protocol=4),
    "half": lambda model, path: torch.save(model.half().state_dict(), path),
    "bfloat16": lambda model, path: torch.save(model.bfloat16().state_dict(), path),
    "double": lambda model, path: torch.save(model.double().state_dict(), path),
    "double, older form": lambda model, path: torch.save(
        model.double().state_dict(), path, _use_new_zipfile_serialization=False
    ),
    "channels last": lambda model, path: torch.save(model.to(memory_format=torch.channels_last).state_dict(), path),
    "parameters": lambda model, path: torch.save(dict(model.named_parameters()), path),
    "parameters, older form": lambda model, path: torch.save(
        dict(model.named_parameters()), path, _use_new_zipfile_serialization=False
    ),
    "a plain dict": lambda model, path: torch.save(dict(model.state_dict()), path),
    "on one storage": lambda model, path: torch.save(on_one_storage(model.state_dict()), path),
    "on one storage, older form": lambda model, path: torch.save(
        on_one_storage(model.state_dict()), path, _use_new_zipfile_serialization=False
    ),
    "without checksums": lambda model, path: without_checksums(lambda: torch.save(model.state_dict(), path)),
}


def on_one_storage(tensors: Tensors) -> Tensors:
    """As FSDP and some optimizers keep them: all tensors are views of one long one."""
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors.values()])
    views, at = OrderedDict(), 0
    for name, tensor in tensors.items():
        views[name] = flat[at : at + tensor.numel()].view(tensor.shape)
        at += tensor.numel()
    return views


def without_checksums(save: Callable[[], None]) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        save()
    finally:
        torch.serialization.set_crc32_options(True)


@pytest.mark.parametrize("how", SAVED)
def test_a_state_dict(model: torch.nn.Module, path: Path, how: str) -> None:
    SAVED[how](model, path)
    if how == "protocol 4":  # which weights_only does not read
        assert_equal(path, torch.load(path, weights_only=False))
    else:
        assert_equal(path, loaded(path))


@pytest.mark.parametrize("new", [True, False])
def test_views_and_tied_tensors(path: Path, new: bool) -> None:
    base = torch.randn(6, 5, 4)
    tied = torch.nn.Parameter(torch.randn(7))
    tensors = {
        "transposed": base.permute(2, 0, 1),
        "strided": base[1::2, :, ::3],
        "inner": base[2, 1:3],
        "expanded": base[:1, :1].expand(3, 2, 4),
        "one": base[3, 2, 1],
        "scalar": torch.tensor(4.6),
        "empty": torch.zeros(0, 3),
        "tied": tied,
        "tied_again": tied,
        "tied_as_data": tied.data,
        "half": torch.randn(3, 4).half().T,
        "double": torch.randn(3, 4).double().T,
    }
    torch.save(tensors, path, _use_new_zipfile_serialization=new)

    assert_equal(path, loaded(path))


class Marked(torch.Tensor):
    pass


def test_a_subclass_and_a_tensor_with_attributes(path: Path) -> None:
    marked = torch.randn(3).as_subclass(Marked)
    attributed = torch.randn(4)
    attributed.note = "kept beside the numbers"  # type: ignore[attr-defined]
    torch.save({"marked": marked, "attributed": attributed}, path)
    with torch.serialization.safe_globals([Marked]):
        expected = loaded(path)

    assert_equal(path, {key: tensor.as_subclass(torch.Tensor) for key, tensor in expected.items()})


def test_a_negated_view_is_not_taken_for_its_positive(path: Path) -> None:
    torch.save({"a": torch.randn(3), "negative": torch.randn(3, dtype=torch.complex64).conj().imag}, path)

    with pytest.raises(UnsupportedModel, match="tensor 'negative' is not plain"):
        read_weights(path)


def test_a_training_checkpoint(model: torch.nn.Module, tmp_path: Path) -> None:
    path = torch_forms.save_training_checkpoint(model, tmp_path)

    assert_equal(path, loaded(path))


def test_other_training_states(model: torch.nn.Module, path: Path) -> None:
    """What else a checkpoint may hold is no model and stays unread: NumPy's numbers, arguments, sets, devices."""
    state = {
        "args": argparse.Namespace(lr=1e-3, betas=(0.9, 0.98), device=torch.device("cpu"), names={"a", "b"}),
        "loss": np.float64(0.5),
        "rng": np.random.get_state(),
        "torch_rng": torch.get_rng_state(),
        "scheduler": torch.optim.lr_scheduler.LambdaLR(
            torch.optim.SGD(model.parameters(), 0.1), lambda epoch: 0.1**epoch
        ).state_dict(),
        "metrics": OrderedDict(best=torch.tensor(3)),
        "model_state_dict": model.state_dict(),
        "dtype": torch.float16,
        "size": torch.Size([3, 4]),
        "path": Path("/somewhere"),
    }
    torch.save(state, path)

    assert_equal(path, model.state_dict())


def test_what_the_training_program_writes(tmp_path: Path) -> None:
    """open_clip_train itself, for one epoch on pictures that it makes up."""
    from open_clip_train.main import main as train  # brings webdataset and pandas

    (tmp_path / "tiny-clip.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(tmp_path / "tiny-clip.json")
    flags = {"model": "tiny-clip", "dataset-type": "synthetic", "train-num-samples": 4, "batch-size": 2, "epochs": 1,
             "workers": 0, "logs": tmp_path / "logs", "name": "run", "device": "cpu", "warmup": 1}  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train([part for flag, value in flags.items() for part in (f"--{flag}", str(value))])
    path = tmp_path / "logs" / "run" / "checkpoints" / "epoch_1.pt"

    assert "optimizer" in torch.load(path, weights_only=True)
    assert_equal(path, loaded(path))


@pytest.mark.parametrize("half", [False, True])
def test_torchscript_traced(model: torch.nn.Module, tmp_path: Path, half: bool) -> None:
    path = torch_forms.save_torchscript(model, tmp_path)
    program = torch.jit.load(path)
    if not half:
        program = program.float()
        torch.jit.save(program, path)

    assert_equal(path, program.state_dict())


def test_torchscript_scripted(path: Path) -> None:
    class Towers(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.visual = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 2), torch.nn.BatchNorm2d(4))
            self.layers = torch.nn.ModuleList(torch.nn.Linear(4, 4) for _ in range(3))
            self.logit_scale = torch.nn.Parameter(torch.tensor(4.6))
            self.names = ["a", "b"]
            self.size = 5

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.visual(x).mean((2, 3))
            for layer in self.layers:
                x = layer(x)
            return x * self.logit_scale

    torch.jit.script(Towers().half()).save(path)

    assert_equal(path, torch.jit.load(path).state_dict())


@pytest.mark.parametrize("how", ["frozen", "exported", "whole"])
def test_what_holds_no_tensors_by_name_is_told(path: Path, how: str) -> None:
    layer = torch.nn.Linear(3, 4).eval()
    if how == "frozen":
        torch.jit.freeze(torch.jit.script(layer)).save(path)
    elif how == "exported":
        torch.export.save(torch.export.export(layer, (torch.zeros(1, 3),)), path.with_suffix(".pt2"))
        path = path.with_suffix(".pt2")
    else:
        torch.save(layer, path)
    said = {"frozen": "frozen into its code", "exported": "torch.export", "whole": "a whole pickled module"}
    with pytest.raises(UnsupportedModel, match=said[how]):
        read_weights(path)


def test_shards(model: torch.nn.Module, tmp_path: Path) -> None:
    assert_equal(torch_forms.save_shards(model, tmp_path), model.state_dict())


def test_numbered_files_without_their_index(model: torch.nn.Module, tmp_path: Path) -> None:
    index = torch_forms.save_shards(model, tmp_path)
    index.unlink()

    assert_equal(tmp_path / "pytorch_model-00002-of-00003.bin", model.state_dict())


def test_safetensors_in_several_files(model: torch.nn.Module, tmp_path: Path) -> None:
    """huggingface_hub writes them for transformers, accelerate and diffusers."""
    save_torch_state_dict(model.state_dict(), tmp_path, max_shard_size="20KB")
    index = tmp_path / "model.safetensors.index.json"
    first = sorted(tmp_path.glob("model-*"))[0]

    for path in (index, first):
        assert_equal(path, model.state_dict())
    index.unlink()
    assert_equal(first, model.state_dict())


def test_an_average_of_weights(model: torch.nn.Module, path: Path) -> None:
    torch.save({"epoch": 3, "ema": torch.optim.swa_utils.AveragedModel(model).state_dict()}, path)

    assert_equal(path, model.state_dict())


ODD: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "sparse": lambda tensor: tensor.to_sparse(),
    "sparse, compressed": lambda tensor: tensor.to_sparse_csr(),
    "quantised": lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8),
    "on torch's meta device": lambda tensor: tensor.to("meta"),
    "nested": lambda tensor: torch.nested.nested_tensor([tensor, tensor]),
    "jagged": lambda tensor: torch.nested.nested_tensor([tensor, tensor], layout=torch.jagged),
    "conjugated": lambda tensor: torch.view_as_complex(tensor.reshape(-1, 2)).conj(),
    "complex": lambda tensor: tensor.to(torch.complex64),
    "float8": lambda tensor: tensor.to(torch.float8_e4m3fn),
    "int8": lambda tensor: tensor.to(torch.int8),
}


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("new", [True, False])
def test_a_tensor_that_is_not_plain_is_named(model: torch.nn.Module, path: Path, kind: str, new: bool) -> None:
    key = "visual.transformer.resblocks.1.mlp.c_fc.weight"
    tensors = model.state_dict()
    try:
        torch.save({**tensors, key: ODD[kind](tensors[key])}, path, _use_new_zipfile_serialization=new)
    except (RuntimeError, NotImplementedError):
        pytest.skip("torch does not write it in this form")
    with pytest.raises((UnsupportedModel, CorruptCheckpoint), match=f"tensor {key!r} (is not plain|has type)"):
        read_weights(path)


@pytest.mark.parametrize("form", ["training", "torchscript", "legacy", "sharded"])
def test_the_golden_files(form: str) -> None:
    path = find(f"local-dir:{MODELS[form]}").weights
    if form == "torchscript":
        expected = torch.jit.load(path).state_dict()
    elif form == "sharded":
        shards = sorted(path.parent.glob("*.bin"))
        expected = {key: value for shard in shards for key, value in torch.load(shard, weights_only=True).items()}
    else:
        expected = loaded(path)

    assert_equal(path, expected)


def test_a_file_by_its_path(tmp_path: Path) -> None:
    """RN50 at its full size, as trained: open_clip reads the same file."""
    folder = save_random_model(tmp_path / "RN50", open_clip.get_model_config("RN50"))
    path = torch_forms.save_training_checkpoint(open_clip.create_model(f"local-dir:{folder}"), tmp_path)
    model, preprocess = open_clip.create_model_from_pretrained("RN50", pretrained=str(path))
    pictures = [Image.open(io.BytesIO(data)) for data in photographs()]
    with torch.no_grad():
        texts = model.eval().encode_text(open_clip.get_tokenizer("RN50")(BATCH_OF_TEXTS)).numpy()
        images = model.encode_image(torch.stack([preprocess(picture) for picture in pictures])).numpy()
    with closing(load("RN50", str(path), precision="fp32", image_reading="open_clip")) as ours:
        for mine, theirs in ((ours.embed_texts(BATCH_OF_TEXTS), texts), (ours.embed_images(photographs()), images)):
            lengths = np.linalg.norm(mine, axis=1) * np.linalg.norm(theirs, axis=1)
            assert ((mine * theirs).sum(1) / lengths).min() > LEAST_COSINE["fp32"]
