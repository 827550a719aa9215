"""What the documents tell a reader to type exists."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest

import openclip_api
from openclip_api.checkpoints import checkpoint
from openclip_api.checkpoints.config import read_config
from openclip_api.checkpoints.registry import pretrained
from openclip_api.cli import main

from ..support.repository import ROOT

CHECKPOINTS = Path(checkpoint.__file__).parent
DOCUMENTS = {path.name: path.read_text() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]}
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_make_target_that_is_named_exists(name: str):
    named = re.findall(r"(?:^ {4}(?:[A-Z_]+=\S+ )*|`)make ([a-z]+)", DOCUMENTS[name], re.MULTILINE)
    assert set(named) <= TARGETS


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_into_the_repository_leads_somewhere(name: str):
    folder = next(folder for folder in (ROOT, *(ROOT / "docs").glob("**")) if (folder / name).exists())
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", DOCUMENTS[name]):
        assert (folder / target).exists(), target


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_to_a_heading_finds_it(name: str):
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", DOCUMENTS[name]):
        headings = re.findall(r"^#+ (.*)", DOCUMENTS[Path(target).name or name], re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_changelog_and_the_package_have_one_version():
    newest, *_ = re.findall(r"^## \[(\d.*?)\]", DOCUMENTS["CHANGELOG.md"], re.MULTILINE)
    (packaged,) = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert newest == packaged == openclip_api.__version__


def test_every_command_that_is_named_exists(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = set(re.findall(r"^ {4}([a-z]+)\b", capsys.readouterr().out, re.MULTILINE))
    named = {command for text in DOCUMENTS.values() for command in re.findall(r"`openclip-api ([a-z]+)", text)}
    assert {"serve", "models", "info", "embed", "index", "search"} <= commands
    assert named <= commands


def test_models_tells_what_the_cache_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    snapshot = tmp_path / "models--laion--CLIP-ViT-B-32-laion2B-s34B-b79K" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "open_clip_model.safetensors").write_bytes(bytes(3_000_000))
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0" * 40)
    assert main(["models", "--cache-dir", str(tmp_path), "3 MB"]) == 0
    (row,) = capsys.readouterr().out.splitlines()[1:]
    assert row.split()[:2] == ["ViT-B-32", "laion2b_s34b_b79k"]
    assert row.split()[-4:-1] == ["safetensors", "3", "MB"]


def test_models_lists_and_filters(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CACHE_DIR", str(tmp_path))
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 196
    assert main(["models", "vit-b-32 S34B"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == [
        "MODEL_NAME",
        "MODEL_PRETRAINED",
        "DIM",
        "PX",
        "ENGINE",
        "TOWERS",
        "WEIGHTS",
        "CACHED",
        "REPOSITORY",
    ]
    towers = ["openvino", "vision_transformer", "+", "text_transformer"]
    assert [row.split() for row in rows] == [
        ["ViT-B-32", "laion2b_s34b_b79k", "512", "224", *towers, "unknown", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"],
        [
            "ViT-B-32-256",
            "datacomp_s34b_b86k",
            "512",
            "256",
            *towers,
            "unknown",
            "laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K",
        ],
    ]
    assert main(["models", "torch apple"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 9
    assert main(["models", "torch jienengchen"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 15


def test_the_table_of_models_is_what_the_script_writes():
    program = runpy.run_path(str(ROOT / "docs" / "write_models.py"))
    assert program["START"] + program["table"]() + program["END"] in DOCUMENTS["models.md"]


def test_the_table_to_choose_from_fits_the_registry():
    text = DOCUMENTS["models.md"].partition("<!-- choosing")[2].partition("<!-- end of choosing")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:6]] for line in text.splitlines()[3:] if line.startswith("|")]
    assert len(rows) >= 12
    for name, tag, *numbers in rows:
        builtin = CHECKPOINTS / "builtin" / name / "open_clip_config.json"
        config = pretrained(name, tag).config if tag else read_config(builtin)[0]
        expected = config.embed_dim, config.image_size, config.tokenizer.context_length
        assert numbers == [str(number) for number in expected]


def test_info_prints_the_model_as_json(tiny: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["info", "--model-name", f"local-dir:{tiny}"]) == 0
    assert json.loads(capsys.readouterr().out)["model_id"] == "OpenCLIP-tiny-clip"
    assert main(["info", "--model-name", "local-dir:/no/such"]) == 1
    assert capsys.readouterr().err.startswith("openclip-api: MODEL_NAME='local-dir:/no/such")
