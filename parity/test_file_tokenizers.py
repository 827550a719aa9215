"""Tokenizers that come as files, id by id against open_clip's HFTokenizer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from open_clip.tokenizer import HFTokenizer

from openclip_api.checkpoints.config import TokenizerConfig
from openclip_api.inputs.tokenizer import build_tokenizer

from . import random_tokenizers, transformers_models
from .texts import NASTY, PATHOLOGICAL, long_texts, random_texts

KINDS = {"wordpiece": {"strip_sep_token": True}, "xlm": {}, "t5": {"clean": "canonicalize"},
         "roberta": {}, "xlm_roberta": {}, "nllb": {},
         "gemma_tokenizer": {"clean": "canonicalize"},
         "sentencepiece_tokenizer": {"clean": "canonicalize"}}  # fmt: skip


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp(kind)
    made = getattr(random_tokenizers, kind, None) or getattr(transformers_models, kind)
    made(path).save_pretrained(path)
    return path


def assert_equal_ids(folder: Path, options: dict[str, object], context_length: int, texts: list[str]) -> None:
    config = TokenizerConfig(context_length, "org/words", **{"clean": "whitespace", **options})
    ours, theirs = build_tokenizer(config, folder), HFTokenizer(str(folder), context_length, **options)
    expected = theirs(texts).numpy()
    assert len(np.unique(expected, axis=0)) > 10
    for text, ids in zip(texts, expected, strict=True):
        np.testing.assert_array_equal(ours(text).ids, ids, repr(text))


@pytest.mark.parametrize("context_length", [77, 32, 16])
@pytest.mark.parametrize("clean", [None, "whitespace", "lower", "canonicalize"])
def test_ids(kind: str, folder: Path, context_length: int, clean: str | None) -> None:
    options = KINDS[kind] if clean is None else KINDS[kind] | {"clean": clean}
    assert_equal_ids(folder, options, context_length, [*NASTY, *random_texts(500, seed=context_length)])


def test_long_texts(kind: str, folder: Path) -> None:
    """Of which only the start is read here."""
    assert_equal_ids(folder, KINDS[kind], 64, [*long_texts(100, seed=7), *PATHOLOGICAL["equal"]])


def test_ids_without_stripping(folder: Path) -> None:
    assert_equal_ids(folder, {"strip_sep_token": False}, 32, NASTY)


def test_files_as_bert_base_uncased_has_them(tmp_path: Path) -> None:
    """Its tokenizer_config.json names no special token: those of its class are meant."""
    random_tokenizers.wordpiece(tmp_path).save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True, "model_max_length": 512}))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    assert_equal_ids(tmp_path, {"strip_sep_token": True}, 32, NASTY)


@pytest.mark.parametrize("side", ["padding_side", "truncation_side"])
def test_sides(folder: Path, side: str, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {side: "left"}))
    assert_equal_ids(tmp_path, {}, 16, NASTY)


@pytest.mark.parametrize("options", [{}, {"src_lang": "fra_Latn"}, {"legacy_behaviour": True}])
def test_nllb_takes_its_template_from_its_class(options: dict[str, object], tmp_path: Path) -> None:
    """The hub's tokenizer.json still has the old one, with the language behind the text."""
    random_tokenizers.nllb(tmp_path).save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "tokenizer.json").read_text())
    end, language = ({"SpecialToken": {"id": name, "type_id": 0}} for name in ("</s>", "eng_Latn"))
    saved["post_processor"]["single"] = [{"Sequence": {"id": "A", "type_id": 0}}, end, language]
    (tmp_path / "tokenizer.json").write_text(json.dumps(saved))
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    for name in ("src_lang", "legacy_behaviour"):
        config.pop(name, None)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | options))
    assert_equal_ids(tmp_path, {}, 32, NASTY)
    ids = build_tokenizer(TokenizerConfig(32, "org/words", "whitespace"), tmp_path)("red sofa").ids
    assert (ids[0] < 390) is np.bool_("legacy_behaviour" in options)  # the languages come last


@pytest.mark.parametrize("language", ["eng_Latn", "fra_Latn", "zul_Latn"])
@pytest.mark.parametrize("options", [{}, {"legacy_behaviour": True}, {"padding_side": "left"}])
def test_nllb_takes_the_language_of_a_text(language: str, options: dict[str, object], tmp_path: Path) -> None:
    """As transformers' NllbTokenizer.src_lang has it: what open_clip's set_language sets, each call sets back."""
    random_tokenizers.nllb(tmp_path).save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | options))
    theirs = HFTokenizer(str(tmp_path), context_length=32)
    theirs.tokenizer.src_lang = language
    ours = build_tokenizer(TokenizerConfig(32, "org/words", "whitespace"), tmp_path)
    for text in ["red sofa", "", "red " * 100]:
        np.testing.assert_array_equal(ours(text, language).ids, theirs(text)[0].numpy())
