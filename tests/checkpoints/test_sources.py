"""read_source: what a user writes → where the model is. Whoever takes a model's name goes through it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from openclip_api.checkpoints import registry
from openclip_api.checkpoints.sources import (
    DEFAULT,
    BuiltIn,
    HubRepository,
    LocalFile,
    LocalFolder,
    Pair,
    Source,
    read_source,
)
from openclip_api.errors import InvalidSetting, StartupError, UnknownModel

OPENAI = Pair("ViT-B-32", "openai")
LAION = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder and the home folder."""
    for name in ("clip", "with space", "naïve 🙂", "a:b", "org/name", "ViT-B-16", "emoji"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("clip/epoch_3.pt", "weights", "my model.bin"):
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("written", "source"),
    [
        (("ViT-B-32", "openai"), OPENAI),
        (("vit-b-32", "OpenAI"), OPENAI),
        (("VIT_B_32", "openai"), OPENAI),
        (("ViT-B/32", "openai"), OPENAI),
        (("ViT-B-32:openai",), OPENAI),
        (("vit-b/32: OPENAI ",), OPENAI),
        (("ViT-B-32",), DEFAULT),
        (("vit_b_32", " "), DEFAULT),
        (("ViT-B-32:",), DEFAULT),
        (("ViTamin-L",), Pair("ViTamin-L", "datacomp1b")),
        (("emoji",), BuiltIn("emoji")),
        (("Emoji",), BuiltIn("emoji")),
        (("openai/clip-vit-base-patch32",), HubRepository("openai/clip-vit-base-patch32")),
        (("hf-hub:org/other",), HubRepository("org/other")),
        (("HF-Hub:org/other@v1",), HubRepository("org/other", "v1")),
        (("org/other@refs/pr/1",), HubRepository("org/other", "refs/pr/1")),
        (("timm/vit_base_patch32_clip_224.openai",), HubRepository("timm/vit_base_patch32_clip_224.openai")),
    ],
)
def test_what_is_no_path(written: tuple[str, ...], source: Source) -> None:
    assert read_source(*written) == source
    assert read_source(str(source)) == source


@pytest.mark.parametrize(
    ("written", "folder"),
    [
        ("clip", "clip"),
        ("./clip", "clip"),
        ("clip/", "clip"),
        ("~/clip", "clip"),
        ("{}/clip", "clip"),
        ("{}/clip/", "clip"),
        ("file://{}/clip", "clip"),
        ("file://localhost{}/with%20space", "with space"),
        ("local-dir:clip", "clip"),
        ("local-dir:~/clip", "clip"),
        ("Local_Dir:./clip", "clip"),
        ("with space", "with space"),
        ("naïve 🙂", "naïve 🙂"),
        ("a:b", "a:b"),
        ("org/name", "org/name"),  # a folder that is there comes before a repository of a hub
        ("./ViT-B-16", "ViT-B-16"),  # and after open_clip's names
        ("local-dir:emoji", "emoji"),
    ],
)
def test_folders(here: Path, written: str, folder: str) -> None:
    source = read_source(written.format(here))
    assert source == LocalFolder(here / folder)
    assert read_source(str(source)) == source


@pytest.mark.parametrize(
    ("written", "source"),
    [
        (("ViT-B-32", "clip/epoch_3.pt"), LocalFile(Path("clip/epoch_3.pt"), "ViT-B-32")),
        (("ViT-B-32", "weights"), LocalFile(Path("weights"), "ViT-B-32")),
        (("vit-b/32", "OPENAI:~/weights"), LocalFile(Path("weights"), "ViT-B-32", "openai")),
        (("ViT-B-32:openai:./my model.bin",), LocalFile(Path("my model.bin"), "ViT-B-32", "openai")),
        (("ViT-B-32:clip/epoch_3.pt",), LocalFile(Path("clip/epoch_3.pt"), "ViT-B-32")),
        (("ViT-B-32", "file://{}/my%20model.bin"), LocalFile(Path("my model.bin"), "ViT-B-32")),
        (("clip/epoch_3.pt",), LocalFile(Path("clip/epoch_3.pt"))),
    ],
)
def test_files(here: Path, written: tuple[str, ...], source: LocalFile) -> None:
    source = LocalFile(here / source.path, source.name, source.tag)
    assert read_source(*(part.format(here) for part in written)) == source
    assert read_source(str(source)) == source


def test_every_pair_in_any_spelling() -> None:
    for entry in registry.all_pretrained():
        pair = Pair(entry.name, entry.tag)
        assert read_source(f"{entry.name}:{entry.tag}".upper().replace("-", "_")) == pair
        assert read_source(entry.repo) == HubRepository(entry.repo)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        # names
        (("ViT-B-23",), "not an OpenCLIP model: did you mean ViT-B-32 or"),
        (("ViT-B/33",), "did you mean ViT-B-32 or"),
        (("ViT-B/32",), "ViT-B-32 has several tags: set MODEL_PRETRAINED to one, or write ViT-B-32:openai: openai, "),
        (("ViT-L-14",), "ViT-L-14 has several tags: set MODEL_PRETRAINED to one, or write ViT-L-14:openai: openai, "),
        (("ViT-S-32",), "ViT-S-32 has no weights of its own: set MODEL_PRETRAINED to a file, or write ViT-S-32:/path"),
        (("laion2b_s34b_b79k",), "it is a tag of ViT-B-32: did you mean ViT-B-32:laion2b_s34b_b79k?"),
        (("openai",), "and 15 more: did you mean ViT-B-32:openai?"),
        (("ViT-B-32__openai",), "did you mean ViT-B-32:openai?"),
        (("ViT-B-32/openai",), "did you mean ViT-B-32:openai?"),
        (("ViT-B-32 openai",), "did you mean ViT-B-32:openai?"),
        (("🙂",), "MODEL_NAME='🙂': not an OpenCLIP model: `openclip-api models` lists them; expected a name"),
        (("two\nlines",), r"MODEL_NAME='two\nlines': not an OpenCLIP model"),
        (("x" * 100_000,), "x…': not an OpenCLIP model"),
        # tags
        (("ViT-B-32", "nope"), "MODEL_PRETRAINED='nope': ViT-B-32 has no tag 'nope'; its tags: openai, "),
        (("ViT-B-32:laion2b_s34b_b79",), "did you mean ViT-B-32:laion2b_s34b_b79k? its tags: openai, "),
        (("ViT-L-14", "laion2b_s34b_b79k"), "it is a tag of ViT-B-32; its tags: openai, "),
        (("ViT-S-32", "openai"), "ViT-S-32 has none; give the path of a weights file"),
        (("ViT-B-32", "vit-l-14"), "this is a name, not a tag of ViT-B-32: write MODEL_NAME=ViT-L-14"),
        (("ViT-B-32", "ViT-B-32:openai"), "this repeats the name: write a tag, or leave it out"),
        (("ViT-B-32", LAION), f"for a repository of a hub, write only MODEL_NAME={LAION}"),
        # repositories
        (("org/na me",), "not the name of a repository: expected org/name"),
        (("openai/clip vit-base-patch32",), "did you mean openai/clip-vit-base-patch32?"),
        (("hf-hub:",), "not the name of a repository: expected org/name"),
        (("hf-hub:name",), "not the name of a repository"),
        (("hf-hub:a/b/c",), "not the name of a repository"),
        (("hf-hub:../..",), "not the name of a repository"),
        (("org/other@",), "what follows the @ is not a revision: write org/other"),
        (("org/other@../..",), "what follows the @ is not a revision"),
        (("org/other/",), "leave out the / at the end: org/other"),
        (("ViT-B-32/", "openai"), "leave out the / at the end: ViT-B-32"),
        # addresses
        (("https://huggingface.co/org/other",), "it is an address: write org/other"),
        (("https://huggingface.co/org/other/tree/v1",), "it is an address: write org/other@v1"),
        (("https://huggingface.co/org/other/resolve/main/m.bin?x",), "to take this one file, download"),
        (("huggingface.co/org/other",), "it is an address: write org/other"),
        (("hf-hub:https://hf.co/org/other",), "it is an address: write org/other"),
        (("https://huggingface.co/datasets/a/b",), "this is the address of a hub, without a model"),
        (("https://example.com/x.pt",), "it is an address: download it, and write ViT-B-32:/path with the name of its"),
        (("ViT-B-32", "s3://bucket/x.pt"), "it is an address: download it, and write"),
        (("file://host/x",), "a file: address needs three slashes"),
        # paths
        (("./clp",), "no such file or folder {}/clp; did you mean {}/clip?"),
        (("local-dir:nowhere/at/all",), "no such file or folder {}/nowhere/at/all; there is no {}/nowhere/at"),
        (("~nobody-of-this-name/clip",), "no such file or folder"),
        (("no.safetensors",), "no such file or folder {}/no.safetensors"),
        (("a/b/c",), "no such file or folder {}/a/b/c; there is no {}/a/b"),
        (("file://{}/no%20one",), "no such file or folder {}/no one"),
        (("ViT-B-32", "openai:/no/such.pt"), "no such file or folder; there is no /no"),
        (("ViT-B-32", "nope:/no/such.pt"), "ViT-B-32 has no tag 'nope'; its tags: "),
        (("local-dir:",), "no path is given"),
        (("ViT-B-32", "openai:"), "ViT-B-32 has no tag 'openai:'; did you mean ViT-B-32:openai?"),
        (("C:\\models\\clip",), "this is a Windows path: write it with"),
        (("C:/models/clip",), "this is a Windows path: write it with"),
        (("ViT-B-32", "C:\\w.pt"), "this is a Windows path: write it with"),
        (("./pipe",), "neither a file nor a folder"),
        (("/" + "x" * 1000,), "cannot be read (File name too long)"),
        (("./nul\0",), "no such file or folder"),
        # a file for a folder and the other way round
        (("local-dir:weights",), "write the name of its architecture before it, as in ViT-B-32:{}/weights"),
        (("ViT-B-32", "./clip"), "it is a folder with its own config: write it without ViT-B-32, as local-dir:"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_with_what_to_write(here: Path, written: tuple[str, ...], message: str) -> None:
    with pytest.raises(UnknownModel) as raised:
        read_source(*(part.format(here) for part in written))

    assert message.replace("{}", str(here)) in str(raised.value)
    assert str(raised.value).startswith(("MODEL_NAME=", "MODEL_PRETRAINED="))
    assert len(str(raised.value).splitlines()) == 1
    assert len(str(raised.value)) < 2500


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (("",), "MODEL_NAME='': it is empty: give a name (ViT-B-32), "),
        ((" \n",), "it is empty"),
        (('"ViT-B-32"',), "write it without quotation marks"),
        (("'./clip'",), "write it without quotation marks"),
        (("emoji", "/data/x.pt"), "MODEL_PRETRAINED='/data/x.pt': emoji has its own weights"),
        (("emoji:x",), "emoji has its own weights"),
        (("clip", "openai"), "clip has its own weights"),
        (("hf-hub:org/other", "openai"), "hf-hub:org/other has its own weights"),
        (("org/other", "/data/x.pt"), "org/other has its own weights"),
        (("org/other:v1",), "a repository has its own weights: write org/other, or org/other@revision"),
        (("ViT-B-32:openai", "laion2b_e16"), "it says 'openai' already, and MODEL_PRETRAINED 'laion2b_e16'"),
    ],
)
def test_what_contradicts_itself(here: Path, written: tuple[str, ...], message: str) -> None:
    with pytest.raises(InvalidSetting) as raised:
        read_source(*written)

    assert message in str(raised.value)


def test_errors_name_where_the_source_comes_from() -> None:
    with pytest.raises(StartupError, match=r"^SOURCE='nope': "):
        read_source("nope", field="SOURCE")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("clip-vit-base-patch32", "openai/clip-vit-base-patch32"),
        ("clip-vit-large-patch14-336", "openai/clip-vit-large-patch14-336"),
        ("openai/clip", "ViT-B-32 with MODEL_PRETRAINED=openai"),
        ("CLIP", "ViT-B-32 with MODEL_PRETRAINED=openai"),
        ("siglip", "ViT-B-16-SigLIP "),
        ("siglip2-base-patch16-224", "google/siglip2-base-patch16-224"),
        ("clip-ViT-B-32", "sentence-transformers/clip-ViT-B-32"),
        ("ViT-L/14@336px", "ViT-L-14-336 with MODEL_PRETRAINED=openai"),
        ("chinese-clip", "OFA-Sys/chinese-clip-vit-base-patch16"),
    ],
)
def test_what_people_call_a_model_is_answered_with_what_to_write(typed: str, meant: str) -> None:
    with pytest.raises(UnknownModel) as raised:
        read_source(typed)

    assert f"did you mean {meant}" in str(raised.value)


@pytest.mark.parametrize(
    ("typed", "reason"),
    [("jinaai/jina-clip-v1", "code of its own"), ("Salesforce/blip2-opt-2.7b", "another"), ("dinov2", "no CLIP model")],
)
def test_a_model_that_cannot_be_served_is_answered_with_why(typed: str, reason: str) -> None:
    with pytest.raises(UnknownModel, match=reason):
        read_source(typed)
