"""What is no CLIP model, by its tensors' names, its first bytes or its folder's files: one line says what it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from openclip_api import load
from openclip_api.checkpoints.checkpoint import find
from openclip_api.checkpoints.weight_files import read_weights
from openclip_api.errors import CorruptCheckpoint, StartupError, UnsupportedModel

from ..golden import MODELS
from ..support.torch_files import archive, mapping, number, state_dict, tensor

FOUR = np.arange(4, dtype=np.float32)

# Some names of each kind's tensors, as transformers 5.24, timm 1.0, peft 0.21, diffusers 0.42 and open_clip save them.
KINDS = {
    "is a language model": [
        ["lm_head.weight", "model.embed_tokens.weight", "model.layers.0.self_attn.v_proj.weight"],
        ["transformer.h.0.attn.c_attn.bias", "transformer.wte.weight"],
        ["decoder.block.0.layer.0.SelfAttention.k.weight", "shared.weight"],
    ],
    "is only a text model": [["embeddings.word_embeddings.weight", "encoder.layer.0.output.dense.bias"]],
    "is a speech model": [
        ["model.encoder.conv1.weight", "model.decoder.embed_tokens.weight"],
        ["encoder.conv1.weight", "decoder.token_embedding.weight"],
    ],
    "is an audio model": [["audio_model.audio_encoder.batch_norm.bias", "text_model.embeddings.LayerNorm.bias"]],
    "is only an image model": [
        ["embeddings.cls_token", "embeddings.patch_embeddings.projection.bias", "encoder.layer.0.norm2.bias"],
        ["blocks.0.attn.qkv.weight", "cls_token", "patch_embed.proj.weight", "pos_embed"],
        ["conv1.weight", "layer1.0.conv1.weight", "fc.weight"],
        ["stem.0.weight", "stages.0.blocks.0.gamma", "head.fc.bias"],
        ["resnet.embedder.embedder.convolution.weight", "classifier.1.bias"],
        ["class_embedding", "conv1.weight", "transformer.resblocks.0.ln_1.bias", "proj"],
    ],
    "is only a text tower": [["token_embedding.weight", "transformer.resblocks.0.ln_1.bias", "ln_final.weight"]],
    "cuts objects out": [["mask_decoder.iou_token.weight", "vision_encoder.pos_embed", "prompt_encoder.a.weight"]],
    "reads images and writes texts": [
        ["language_model.lm_head.weight", "vision_tower.vision_model.pre_layrnorm.weight"],
        ["language_model.model.decoder.layers.0.fc1.bias", "qformer.layernorm.weight", "vision_model.encoder.a"],
        ["text_decoder.bert.embeddings.LayerNorm.bias", "vision_model.post_layernorm.weight"],
        ["itm_head.bias", "text_encoder.embeddings.LayerNorm.bias", "vision_model.post_layernorm.weight"],
    ],
    "Apple's own MobileCLIP code": [
        ["image_encoder.model.patch_embed.0.rbr_conv.0.conv.weight", "text_encoder.embedding_layer.weight"],
    ],
    "is a LoRA or similar adapter": [
        ["base_model.model.text_model.encoder.layers.0.mlp.fc2.ia3_l"],
        ["base_model.model.vision_model.encoder.layers.0.self_attn.q_proj.hada_w1_a"],
        ["visual.transformer.resblocks.0.attn.lora_down.weight"],
    ],
    "is a diffusion model or a part": [
        ["down_blocks.0.resnets.0.conv1.weight", "conv_in.bias"],
        ["decoder.up_blocks.0.resnets.1.norm2.bias", "quant_conv.weight", "encoder.conv_in.weight"],
    ],
}  # fmt: skip


@pytest.mark.parametrize(("what", "names"), [(what, names) for what, kinds in KINDS.items() for names in kinds])
@pytest.mark.parametrize("wrapper", ["", "module."])
def test_a_model_of_another_kind(tmp_path: Path, what: str, names: list[str], wrapper: str):
    tensors = {wrapper + name: FOUR for name in names}
    stored = {key: tensor("0", 4) for key in tensors}
    for file, content in (
        ("model.safetensors", save(tensors)),
        ("model.pt", archive(state_dict({"epoch": number(1), "model": mapping(stored)}), {"0": FOUR.tobytes()})),
    ):
        (tmp_path / file).write_bytes(content)
        with pytest.raises(UnsupportedModel, match=what) as raised:
            read_weights(tmp_path / file)
        assert str(tmp_path / file) in str(raised.value)
        assert any(words in str(raised.value) for words in ("image tower", "merge_and_unload", "MODEL_NAME="))
        assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    "names",
    [
        ["visual.trunk.patch_embed.proj.weight", "text.transformer.embeddings.word_embeddings.weight"],
        ["visual.conv1.weight", "token_embedding.weight", "text_decoder.resblocks.0.ln_1.bias"],
        ["vision_model.embeddings.class_embedding", "text_model.embeddings.word_embeddings.weight"],
        ["clip.visual.layer1.0.conv1.weight", "clip.token_embedding.weight"],
        ["image_encoder.trunk.patch_embed.weight", "text_encoder.embedding_layer.weight"],
    ],
)
def test_what_a_clip_model_has_too(tmp_path: Path, names: list[str]):
    (tmp_path / "model.safetensors").write_bytes(save(dict.fromkeys(names, FOUR)))

    assert len(read_weights(tmp_path / "model.safetensors").tensors()) == len(names)


FILES: dict[str, tuple[type[StartupError], bytes]] = {
    "an engine of TensorRT": (UnsupportedModel, b"ftrt" + bytes(range(1, 99))),
    "an image or a film": (UnsupportedModel, b"\x89PNG\r\n\x1a\n" + bytes(30)),
    "an image": (UnsupportedModel, b"\xff\xd8\xff\xe0" + bytes(30)),
    "a document, a table": (UnsupportedModel, b"%PDF-1.4\n" + bytes(range(99))),
    "a web page": (CorruptCheckpoint, b"\n<!-- moved --><html>"),
    "Xet storage": (CorruptCheckpoint, b"# xet version 0\nhash = 'a'\n"),
    "begins with zeros only": (CorruptCheckpoint, bytes(2000)),
    "is a text": (UnsupportedModel, "# Lisez-moi: modèle\n".encode()),
    "learning rate scheduler": (UnsupportedModel, archive(state_dict({"last_epoch": number(1), "gamma": number(1)}))),
    "holds one tensor": (UnsupportedModel, archive(b"\x80\x02" + tensor("0", 4) + b".", {"0": FOUR.tobytes()})),
    "a gradient scaler": (UnsupportedModel, archive(state_dict({"growth_factor": number(2)}))),
}


@pytest.mark.parametrize("what", FILES)
def test_a_file_that_is_no_model(tmp_path: Path, what: str):
    error, content = FILES[what]
    path = tmp_path / "open_clip_model.bin"
    path.write_bytes(content)

    with pytest.raises(error, match=what) as raised:
        read_weights(path)
    assert str(path) in str(raised.value)


def test_the_numbers_of_an_openvino_model(tmp_path: Path):
    (tmp_path / "openvino_model.xml").write_text('<?xml version="1.0"?>\n<net name="x">')
    (tmp_path / "openvino_model.bin").write_bytes(bytes(range(256)) * 4)

    with pytest.raises(UnsupportedModel, match="the OpenVINO model beside it"):
        read_weights(tmp_path / "openvino_model.bin")


# The files of a folder → what is said of it.
FOLDERS: list[tuple[list[str], str]] = [
    ([], "is empty: it needs open_clip_config.json"),
    (["a.jpg", "b.PNG", "notes.txt"], "holds images, but no model"),
    (["tokenizer.json", "tokenizer_config.json"], "holds a tokenizer, but no open_clip_config.json and weights"),
    (["latest", "zero_to_fp32.py", "global_step1/mp_rank_00_model_states.pt"], "of DeepSpeed: make one file of it"),
    (["mp_rank_00_model_states.pt", "zero_pp_rank_0_mp_rank_00_optim_states.pt"], "a part of a DeepSpeed checkpoint"),
    (["pytorch_model_fsdp_0/.metadata", "pytorch_model_fsdp_0/__0_0.distcp"], "(FSDP): name the folder in it"),
    ([".metadata", "__0_0.distcp"], "is a distributed checkpoint of torch: make one file"),
    (["_CHECKPOINT_METADATA", "d/abc"], "is an Orbax checkpoint"),
    (["manifest.ocdbt", "ocdbt.process_0/d/a"], "is an Orbax checkpoint"),
    (["saved_model.pb", "variables/variables.index"], "is a SavedModel of TensorFlow"),
    (["checkpoint", "model.ckpt-1.index", "model.ckpt-1.data-00000-of-00001"], "is a checkpoint of TensorFlow"),
    (["Manifest.json", "Data/com.apple.CoreML/model.mlmodel"], "is a Core ML model"),
    (["coremldata.bin", "model.mil"], "is a Core ML model"),
    (["openvino_model.xml", "openvino_model.bin"], "is an OpenVINO model"),
    (["model.onnx", "vocab.txt"], "is an ONNX model"),
    (["flax_model.msgpack"], "is a model of Flax"),
    (["adapter_config.json", "adapter_model.safetensors"], "is a LoRA or similar adapter"),
    (["model_index.json", "unet/config.json"], "is a diffusers pipeline"),
    (["refs/main", "snapshots/abc/open_clip_config.json"], "name the repository, or the folder in its snapshots/"),
    (["params.txt", "checkpoints/epoch_1.pt"], "MODEL_PRETRAINED to "),
    (["photos/open_clip_config.json", "photos/epoch_1.pt"], "name the folder "),
    (["README.md"], "no such file; an OpenCLIP folder has one beside its weights"),
]


@pytest.mark.parametrize(("files", "what"), FOLDERS)
def test_a_folder_without_a_config(tmp_path: Path, files: list[str], what: str):
    folder = tmp_path / "model"
    folder.mkdir()
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("{}")
    with pytest.raises(StartupError) as raised:
        find(f"local-dir:{folder}")
    assert what in str(raised.value)
    assert str(folder) in str(raised.value)


@pytest.mark.parametrize("name", ["open_clip_model.safetensors.incomplete", "model.pt.part", "a.crdownload"])
def test_a_download_that_was_not_finished(tmp_path: Path, name: str):
    config = {"model_cfg": {"embed_dim": 8, "vision_cfg": {}, "text_cfg": {}}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    (tmp_path / name).write_bytes(b"PK\x03\x04")

    with pytest.raises(StartupError, match=f"{name} is an unfinished download"):
        find(f"local-dir:{tmp_path}")


@pytest.mark.parametrize("name", ["open_clip_config.json", "open_clip_model.safetensors"])
def test_a_copy_of_the_hubs_links_alone(tmp_path: Path, name: str):
    shutil.copytree(MODELS["openai"], tmp_path / "model", ignore=shutil.ignore_patterns("expected.npz"))
    path = tmp_path / "model" / name
    path.unlink()
    path.symlink_to(tmp_path / "blobs" / "abc")

    with pytest.raises(StartupError, match=f"^{path} is a link to a file that is not there: .*cp -rL"):
        find(f"local-dir:{path.parent}")


CONFIGS: list[tuple[str, object, str]] = [
    ("open_clip_config.json", {"embed_dim": 8, "vision_cfg": {}, "text_cfg": {}}, 'write {"model_cfg": …'),
    ("open_clip_config.json", {"model_cfg": 5}, "'model_cfg' is missing or is not an object"),
    ("open_clip_config.json", [1], "'model_cfg' is missing or is not an object"),
    ("open_clip_config.json", {"model_cfg": {"embed_dim": 8, "vision_cfg": {}}}, "'text_cfg' is missing"),
    ("config.json", {"_class_name": "UNet2DModel"}, "a part of a diffusers pipeline"),
    ("config.json", {"architecture": "vit_base_patch16_224"}, "the text tower is missing"),
    ("config.json", {"embed_dim": 8, "vision_cfg": {}}, "open_clip_config.json"),
    ("config.json", {"model_type": "whisper"}, "model_type 'whisper' is not supported"),
    ("config.json", {"model_type": "clip", "text_config": {}}, "vision_config is missing"),
    ("config.json", {"model_type": "siglip", "vision_config": {}}, "text_config is missing"),
    ("config.json", {"model_type": "clip", "vision_config": [], "text_config": {}}, r"vision_config \[\]: expected an"),
    ("config.json", {"model_type": ["clip"]}, r"model_type \['clip'\] is not supported"),
]


@pytest.mark.parametrize("field", ["vision_cfg.patch_size", "text_cfg.heads", "vision_cfg.odd_flag", "odd_flag"])
def test_a_field_that_a_tower_refuses(tmp_path: Path, field: str):
    shutil.copytree(MODELS["openai"], tmp_path / "model")
    path = tmp_path / "model" / "open_clip_config.json"
    content = json.loads(path.read_text())
    section = content["model_cfg"]
    *above, name = field.split(".")
    for key in above:
        section = section[key]
    section[name] = "x"
    path.write_text(json.dumps(content))

    with pytest.raises(StartupError, match=f"^{path}: .*{field}"):
        load(f"local-dir:{path.parent}")


@pytest.mark.parametrize(("file", "content", "what"), CONFIGS)
def test_a_config_of_another_kind(tmp_path: Path, file: str, content: object, what: str):
    (tmp_path / file).write_text(json.dumps(content))
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(save({"visual.a": FOUR}))
    with pytest.raises(StartupError, match=what) as raised:
        load(f"local-dir:{tmp_path}")
    assert str(tmp_path / file) in str(raised.value)
    assert "\n" not in str(raised.value)
