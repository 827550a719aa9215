"""Folders in transformers' layout: how they are found and read, and what is refused. Vectors: tests/test_golden.py."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from openclip_api import load
from openclip_api.checkpoints.checkpoint import find
from openclip_api.checkpoints.transformers_layout.config import open_clip_config
from openclip_api.checkpoints.transformers_layout.keys import joined
from openclip_api.errors import CorruptCheckpoint, StartupError, UnknownModel, UnsupportedModel
from openclip_api.models.build import build_towers

from ..golden import MODELS, TRANSFORMERS

Copy = Callable[[str], Path]
CLIP_MODULE = {"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "sentence_transformers.models.CLIPModel"}


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """A golden model in a folder of its own, to change something."""
    unread = shutil.ignore_patterns("expected.npz")
    return lambda name: Path(shutil.copytree(TRANSFORMERS[name], tmp_path / name, ignore=unread))


def change(path: Path, where: str, value: Any) -> None:
    """Set one value of a JSON file: "text_config.hidden_act". ... takes it out."""
    written = json.loads(path.read_text())
    *parents, last = where.split(".")
    section = written
    for parent in parents:
        section = section.setdefault(parent, {})
    if value is ...:
        section.pop(last, None)
    else:
        section[last] = value
    path.write_text(json.dumps(written))


def rename(path: Path, name: Callable[[str], str | None]) -> None:
    tensors = load_file(path)
    save_file({new: tensor for old, tensor in tensors.items() if (new := name(old)) is not None}, path)


def vectors(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    with closing(load(f"local-dir:{folder}", precision="fp32")) as embedder:
        picture = (MODELS["clipa"].parents[1] / "images" / "rgb.png").read_bytes()
        return embedder.embed_images([picture]), embedder.embed_texts(["a photo of a cat"])


def assert_same(ours: tuple[np.ndarray, np.ndarray], expected: tuple[np.ndarray, np.ndarray]) -> None:
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("last", [[], [{"idx": 1, "name": "1", "path": "1_Normalize", "type": "a.models.Normalize"}]])
def test_sentence_transformers_keep_the_model_in_a_folder_below(copy: Copy, tmp_path: Path, last: list[Any]) -> None:
    expected = vectors(copy("clip"))
    whole = tmp_path / "clip-ViT-B-32"
    shutil.copytree(TRANSFORMERS["clip"], whole / "0_CLIPModel")
    (whole / "modules.json").write_text(json.dumps([CLIP_MODULE, *last]))
    assert_same(vectors(whole), expected)
    assert find(f"local-dir:{whole}").model_id == "OpenCLIP-clip-ViT-B-32"


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        ([{"path": "", "type": "sentence_transformers.models.Transformer"}], "only CLIPModel is read"),
        ([{"path": "../other", "type": "sentence_transformers.models.CLIPModel"}], "expected a folder beside it"),
        ([{"path": "/etc", "type": "sentence_transformers.models.CLIPModel"}], "expected a folder beside it"),
        ([{"path": 7, "type": "sentence_transformers.models.CLIPModel"}], "expected a folder beside it"),
        ([{"path": "2_gone", "type": "sentence_transformers.models.CLIPModel"}], "2_gone: no such folder"),
        ({}, "not a list of modules"),
        ([7], "not a list of modules"),
        ([], "only CLIPModel is read"),
    ],
)
def test_other_modules_are_refused(copy: Copy, modules: Any, expected: str) -> None:
    folder = copy("clip")
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(StartupError, match=expected):
        find(f"local-dir:{folder}")


@pytest.mark.parametrize("name", TRANSFORMERS)
@pytest.mark.parametrize("prefix", ["clip.", "model.", "module."])
def test_weights_of_a_model_inside_another(copy: Copy, name: str, prefix: str) -> None:
    folder = copy(name)
    expected = vectors(folder)
    rename(folder / "model.safetensors", lambda old: prefix + old)
    assert_same(vectors(folder), expected)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_numbers_of_positions_are_not_read(copy: Copy, name: str) -> None:
    """transformers before 4.31 stored them, as int64."""
    folder = copy(name)
    expected = vectors(folder)
    path = folder / "model.safetensors"
    numbers = {f"{tower}.embeddings.position_ids": np.arange(16)[None] for tower in ("text_model", "vision_model")}
    save_file(load_file(path) | numbers, path)
    assert_same(vectors(folder), expected)


@pytest.mark.parametrize("name", TRANSFORMERS)
@pytest.mark.parametrize(("start", "missing"), [("text_model.", "text tower"), ("vision_model.", "image tower")])
def test_one_tower_alone_is_refused(copy: Copy, name: str, start: str, missing: str) -> None:
    folder = copy(name)
    rename(folder / "model.safetensors", lambda old: None if old.startswith(start) else old)
    with pytest.raises(CorruptCheckpoint, match=f"has no {missing}"):
        load(f"local-dir:{folder}")


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_each_tensor_has_its_place(copy: Copy, name: str) -> None:
    folder = copy(name)
    path = folder / "model.safetensors"
    tensors = load_file(path)
    save_file(tensors | {"classifier.weight": np.zeros(3, np.float32)}, path)
    with pytest.raises(CorruptCheckpoint, match=r"1 tensors .*have no place in its config, .*classifier"):
        load(f"local-dir:{folder}")
    for gone in ("vision_model.encoder.layers.1.self_attn.k_proj.weight", "vision_model.post_layernorm.bias"):
        save_file({key: tensor for key, tensor in tensors.items() if key != gone}, path)
        with pytest.raises(CorruptCheckpoint, match=r"\(by open_clip's names\) has no tensor"):
            load(f"local-dir:{folder}")


def test_two_tensors_of_one_name_are_refused(copy: Copy) -> None:
    folder = copy("clip")
    path = folder / "model.safetensors"
    tensors = load_file(path)
    again = {key.replace("layers", "layer"): tensor for key, tensor in tensors.items() if "vision_model.enc" in key}
    save_file(tensors | again, path)
    with pytest.raises(CorruptCheckpoint, match=r"two tensors that are 'visual\.transformer"):
        load(f"local-dir:{folder}")


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_tensors_of_no_dimensions_are_refused_in_one_line(copy: Copy, name: str) -> None:
    folder = copy(name)
    path = folder / "model.safetensors"
    tensors = load_file(path)
    for key in [key for key in tensors if "layers.1" not in key and "layer.1" not in key and "logit" not in key]:
        save_file(tensors | {key: np.zeros((), np.float32)}, path)
        checkpoint = find(f"local-dir:{folder}")
        weights = checkpoint.read()
        with pytest.raises(CorruptCheckpoint, match="tensor") as caught:
            build_towers(checkpoint.config, checkpoint.preprocess, weights)
        assert "\n" not in str(caught.value)


REFUSED: list[tuple[str, str, Any, str]] = [
    ("clip", "model_type", "clip_text_model", "only a text tower: the image tower is missing"),
    ("clip", "model_type", "clip_vision_model", "only an image tower: the text tower is missing"),
    ("siglip", "model_type", "siglip_vision_model", "only an image tower"),
    ("siglip", "model_type", "siglip2", "NaFlex"),
    ("clip", "model_type", "bert", "'bert' is not supported; these are: clip, metaclip_2, siglip"),
    ("clip", "model_type", ..., "None is not supported"),
    ("clip", "model_type", ["clip"], "is not supported"),
    ("clip", "text_config", 7, "text_config 7: expected an object"),
    ("clip", "text_config", ..., "text_config is missing"),
    ("clip", "projection_dim", "x", "projection_dim 'x': expected a whole number from 1 on"),
    ("clip", "text_config_dict", "x", "text_config_dict 'x': expected an object"),
    ("clip", "text_config.hidden_act", "relu", "text_config.hidden_act 'relu'"),
    ("clip", "text_config.hidden_act", "gelu", "quick_gelu is built in both towers or in none"),
    ("clip", "text_config.eos_token_id", [1, 2], "eos_token_id"),
    ("clip", "text_config.max_position_embeddings", "77", "text_config.max_position_embeddings '77'"),
    ("clip", "text_config.vocab_size", -3, "text_config.vocab_size -3"),
    ("clip", "text_config.vocab_size", "x", "text_config.vocab_size 'x'"),
    ("clip", "text_config.eos_token_id", 10**9, "expected one id below vocab_size, 400"),
    ("clip", "text_config.hidden_act", ["gelu"], "hidden_act"),
    ("clip", "text_config.layer_norm_eps", -1, "layer_norm_eps -1"),
    ("clip", "vision_config.num_channels", 1, "num_channels 1: expected 3"),
    ("clip", "vision_config.image_size", [64, 32], "image_size"),
    ("clip", "vision_config.patch_size", [16, 16], "patch_size"),
    ("clip", "vision_config.hidden_size", 10**9, "hidden_size"),
    ("clip", "vision_config.num_attention_heads", 5, "no multiple of num_attention_heads 5"),
    ("clip", "vision_config.layer_norm_eps", None, "layer_norm_eps None"),
    ("clip", "quantization_config", {"bits": 4}, "quantised weights are not supported"),
    ("siglip", "vision_config.vision_use_head", False, "vision_use_head is false"),
    ("siglip", "text_config.projection_size", 33, "projection_size 33: the image tower gives 32"),
    ("siglip", "vision_config.hidden_act", "quick_gelu", "not built for SigLIP"),
    ("siglip", "vision_config.num_hidden_layers", 1, "has 2 layers, its config asks for 1"),
    ("siglip", "vision_config.num_hidden_layers", 3, "blocks.2.mlp.fc1.weight', which its config asks for"),
    ("chinese_clip", "text_config.position_embedding_type", "relative_key", "position_embedding_type"),
    ("chinese_clip", "text_config.is_decoder", True, "is_decoder"),
    ("chinese_clip", "text_config.hidden_act", "relu", "hidden_act"),
]


@pytest.mark.parametrize(("name", "where", "value", "expected"), REFUSED)
def test_what_is_not_built_is_refused_by_name(copy: Copy, name: str, where: str, value: Any, expected: str) -> None:
    folder = copy(name)
    change(folder / "config.json", where, value)
    with pytest.raises((UnsupportedModel, CorruptCheckpoint), match=expected) as caught:
        load(f"local-dir:{folder}")
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


IMAGES_REFUSED: list[tuple[str, Any, str]] = [
    ("do_resize", False, "do_resize is false"),
    ("do_center_crop", False, "do_center_crop is false"),
    ("do_pad", True, "do_pad is not supported"),
    ("resample", 1, "resample 1"),
    ("resample", "bicubic", "resample 'bicubic'"),
    ("resample", [3], r"resample \[3\]"),
    ("do_rescale", "no", "do_rescale 'no': expected true or false"),
    ("size", {"longest_edge": 64}, "size {'longest_edge': 64}"),
    ("size", {"shortest_edge": 64, "longest_edge": 90}, "size"),
    ("size", {"height": 64, "width": 32}, "size"),
    ("size", {"shortest_edge": 10**9}, "size"),
    ("size", "64", "size '64'"),
    ("size", {"shortest_edge": 32}, "crop_size 64 is more than size 32"),
    ("crop_size", 32, "it makes images of 32 pixels, and config.json has image_size 64"),
    ("image_mean", [1, 2], "image_mean"),
    ("image_std", [0, 1, 1], "std"),
    ("image_std", "x", "image_std 'x'"),
    ("rescale_factor", 0, "rescale_factor 0"),
    ("image_processor_type", "Siglip2ImageProcessor", "image_processor_type 'Siglip2ImageProcessor'"),
    ("image_processor_type", ["CLIPImageProcessor"], "image_processor_type"),
    ("use_square_size", True, "use_square_size is not supported"),
]


@pytest.mark.parametrize(("flag", "value", "expected"), IMAGES_REFUSED)
def test_flags_of_the_image_processor_are_refused_by_name(copy: Copy, flag: str, value: Any, expected: str) -> None:
    folder = copy("clip")
    change(folder / "processor_config.json", f"image_processor.{flag}", value)
    with pytest.raises(StartupError, match=expected) as caught:
        load(f"local-dir:{folder}")
    assert "processor_config.json" in str(caught.value)
    assert "\n" not in str(caught.value)


SAME: list[dict[str, Any]] = [
    {"size": 64},
    {"crop_size": 64},
    {"crop_size": {"height": 64, "width": 64}},
    {"do_convert_rgb": None, "do_rescale": None, "resample": None, "image_mean": None},
    {"image_processor_type": "CLIPImageProcessorFast"},
    {"image_processor_type": ..., "feature_extractor_type": "CLIPFeatureExtractor"},
    {"image_processor_type": ...},
]


@pytest.mark.parametrize("changes", SAME)
def test_the_same_in_older_words(copy: Copy, changes: Mapping[str, Any]) -> None:
    folder = copy("clip")
    expected = vectors(folder)
    path = folder / "processor_config.json"
    older = json.loads(path.read_text())["image_processor"] | changes
    (folder / "preprocessor_config.json").write_text(json.dumps({k: v for k, v in older.items() if v is not ...}))
    path.write_text(json.dumps({"processor_class": "CLIPProcessor"}))
    assert_same(vectors(folder), expected)


def test_config_json_of_before_2022(copy: Copy) -> None:
    """What text_config_dict says stands above text_config, with its class's own values for the rest."""
    folder = copy("clip")
    expected = vectors(folder)
    path = folder / "config.json"
    written = json.loads(path.read_text())
    for section in ("text_config", "vision_config"):
        written[f"{section}_dict"], written[section] = written[section], {"hidden_size": 7, "hidden_act": "relu"}
    path.write_text(json.dumps(written))
    assert_same(vectors(folder), expected)


def test_files_that_are_missing(copy: Copy, tmp_path: Path) -> None:
    for name, expected in (
        ("processor_config.json", "has no preprocessor_config.json"),
        ("tokenizer.json", "has no tokenizer"),
        ("model.safetensors", "has no weights"),
    ):
        folder = copy("clip")
        (folder / name).unlink()
        with pytest.raises(UnknownModel, match=expected):
            load(f"local-dir:{folder}")
        shutil.rmtree(folder)
    folder = copy("clip")
    (folder / "tokenizer.json").rename(folder / "spiece.model")
    with pytest.raises(UnsupportedModel, match=r"only as spiece.model: save it once more"):
        load(f"local-dir:{folder}")


@pytest.mark.parametrize("name", ["config.json", "processor_config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ["[]", "{", "null", "<html>"])
def test_files_that_are_no_objects(copy: Copy, name: str, content: str) -> None:
    folder = copy("clip")
    (folder / name).write_text(content)
    with pytest.raises(StartupError, match=name):
        load(f"local-dir:{folder}")


@pytest.mark.parametrize(
    ("name", "flag", "value", "expected"),
    [
        ("clip", "padding_side", "left", "padding_side 'left'"),
        ("chinese_clip", "padding_side", "left", "padding_side 'left'"),
        ("siglip", "model_input_names", ["input_ids", "attention_mask"], "model_input_names"),
        ("clip", "model_max_length", "many", "model_max_length 'many'"),
        ("clip", "model_max_length", 0, "model_max_length 0"),
    ],
)
def test_what_the_tokenizer_cannot_do_is_refused(copy: Copy, name: str, flag: str, value: Any, expected: str) -> None:
    folder = copy(name)
    change(folder / "tokenizer_config.json", flag, value)
    with pytest.raises(StartupError, match=expected):
        load(f"local-dir:{folder}")


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_the_fingerprint_does_not_depend_on_the_folder_s_path(copy: Copy, name: str) -> None:
    with closing(load(f"local-dir:{TRANSFORMERS[name]}", precision="fp32")) as embedder:
        first = embedder.info.fingerprint
    folder = copy(name)
    with closing(load(f"local-dir:{folder}", precision="fp32")) as embedder:
        assert embedder.info.fingerprint == first
    change(folder / "tokenizer_config.json", "model_max_length", 9)
    with closing(load(f"local-dir:{folder}", precision="fp32")) as embedder:
        assert embedder.info.fingerprint != first
        assert embedder.info.context_length == 9


def test_open_clip_s_config_wins_where_a_folder_has_both(copy: Copy) -> None:
    folder = copy("clip")
    checkpoint = find(f"local-dir:{folder}")
    config = {"model_cfg": open_clip_config(checkpoint.config), "preprocess_cfg": {"mean": [0.1] * 3}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    assert find(f"local-dir:{folder}").preprocess.mean == (0.1, 0.1, 0.1)


def test_joined_tensors_are_those_of_open_clip_s_file() -> None:
    checkpoint = find(f"local-dir:{TRANSFORMERS['clip']}")
    tensors, stored = joined(checkpoint.read()).tensors(), load_file(checkpoint.weights)
    expected = [stored[f"text_model.encoder.layers.1.self_attn.{part}_proj.weight"] for part in "qkv"]
    np.testing.assert_array_equal(tensors["transformer.resblocks.1.attn.in_proj_weight"], np.concatenate(expected))
    assert not any("/" in name for name in tensors)


@pytest.mark.parametrize("name", ["siglip", "chinese_clip"])
def test_what_open_clip_has_no_tower_for_is_not_converted(name: str) -> None:
    with pytest.raises(UnsupportedModel, match="open_clip"):
        open_clip_config(find(f"local-dir:{TRANSFORMERS[name]}").config)


@pytest.mark.parametrize(
    ("name", "where", "value"),
    [
        ("clip", "text_config.eos_token_id", 7),
        ("clip", "text_config.eos_token_id", 2),
        ("clip", "text_config.num_attention_heads", 3),
        ("clip", "vision_config.num_attention_heads", 2),
        ("clip", "vision_config.layer_norm_eps", 1e-2),
        ("clip", "text_config.layer_norm_eps", 1e-2),
        ("siglip", "vision_config.num_attention_heads", 2),
        ("siglip", "vision_config.layer_norm_eps", 1e-2),
        ("siglip", "vision_config.hidden_act", "gelu"),
        ("siglip", "text_config.hidden_act", "gelu"),
        ("chinese_clip", "text_config.layer_norm_eps", 1e-2),
        ("chinese_clip", "text_config.num_attention_heads", 3),
        ("chinese_clip", "text_config.pad_token_id", 3),
        ("chinese_clip", "vision_config.hidden_act", "gelu"),
    ],
)
def test_each_fact_of_config_json_has_its_effect(copy: Copy, name: str, where: str, value: Any) -> None:
    folder = copy(name)
    expected = vectors(folder)
    change(folder / "config.json", where, value)
    with pytest.raises(AssertionError):
        assert_same(vectors(folder), expected)


@pytest.mark.parametrize("form", ["tokenizer.json", "vocab.txt"])
def test_bert_s_tokenizer_obeys_its_config(copy: Copy, form: str) -> None:
    """transformers' class does, whatever normaliser a tokenizer.json has."""
    folder = copy("chinese_clip")
    if form == "vocab.txt":
        vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
        (folder / form).write_text("\n".join(sorted(vocabulary, key=vocabulary.get)))
        (folder / "tokenizer.json").unlink()
    with closing(load(f"local-dir:{folder}", precision="fp32")) as lower:
        assert lower.embed_texts(["A CAT"]).tolist() == lower.embed_texts(["a cat"]).tolist()
    change(folder / "tokenizer_config.json", "do_lower_case", False)
    with closing(load(f"local-dir:{folder}", precision="fp32")) as cased:
        assert cased.embed_texts(["A CAT"]).tolist() != cased.embed_texts(["a cat"]).tolist()
