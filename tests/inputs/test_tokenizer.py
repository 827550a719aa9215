"""Strings → ids: open_clip's for hard strings, and what a config may ask for."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from openclip_api.checkpoints.config import tokenizer_config
from openclip_api.errors import CorruptCheckpoint, InvalidInput, UnsupportedModel
from openclip_api.inputs.tokenizer import Tokenizer, build_tokenizer

from ..golden import GOLDEN, MODELS, TEXTS, arrays

START, END = 49406, 49407


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A WordPiece tokenizer: [PAD] 0, [CLS] 2, [SEP] 3."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(MODELS["clipa"] / name, tmp_path)
    return tmp_path


def built(text_cfg: dict[str, Any], folder: Path | None = None) -> Tokenizer:
    own = {"hf_tokenizer_name": "org/words"} if folder else {}
    return build_tokenizer(tokenizer_config(own | text_cfg), folder)


def change_config(folder: Path, **values: Any) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("clean", ["lower", "whitespace", "canonicalize"])
def test_hard_strings(clean: str) -> None:
    expected = next(ids for name, ids in arrays(GOLDEN / "clip_ids.npz").items() if name.startswith(clean))
    tokenizer = built({"context_length": expected.shape[1], "tokenizer_kwargs": {"clean": clean}})
    for text, ids in zip(TEXTS["tokenizer"], expected, strict=True):
        np.testing.assert_array_equal(tokenizer(text).ids, ids, repr(text))


def test_empty_text() -> None:
    assert built({})("").ids.tolist() == [START, END] + [0] * 75


def test_a_long_text_keeps_its_end() -> None:
    ids = built({"context_length": 16})("cat " * 1000).ids.tolist()
    assert ids == [START] + [2368] * 14 + [END]


@pytest.mark.parametrize(
    ("text", "count", "truncated"),
    [("", 2, False), ("cat", 3, False), ("cat " * 14, 16, False), ("cat " * 15, 16, True), ("cat " * 999, 16, True)],
)
def test_tokens_are_counted_and_a_cut_is_told(text: str, count: int, truncated: bool) -> None:
    tokens = built({"context_length": 16})(text)
    assert (tokens.count, tokens.truncated) == (count, truncated)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("strip_sep_token", [False, True])
def test_a_file_tokenizer_counts_too(folder: Path, side: str, strip_sep_token: bool) -> None:
    change_config(folder, padding_side=side, truncation_side=side)
    options = {"tokenizer_kwargs": {"strip_sep_token": strip_sep_token}}
    text = "a photo of a cat"
    whole = built({"context_length": 77, **options}, folder)(text)
    assert 7 <= whole.count < 77
    assert not whole.truncated
    exact = built({"context_length": whole.count, **options}, folder)(text)
    assert (exact.count, exact.truncated) == (whole.count, False)
    cut = built({"context_length": whole.count - 1, **options}, folder)(text)
    assert (cut.count, cut.truncated) == (whole.count - 1, True)
    assert (len(cut.ids), len(exact.ids)) == (whole.count - 1, whole.count)


def test_special_tokens_in_a_text_mean_themselves() -> None:
    ids = built({})("a <END_OF_TEXT> b <start_of_text>").ids.tolist()
    assert ids[:6] == [START, 320, END, 321, START, END]


def test_case_and_entities() -> None:
    tokenizer = built({})
    np.testing.assert_array_equal(tokenizer("  A CAF&eacute; \n").ids, tokenizer("a caf\u00e9").ids)


def test_from_several_threads() -> None:
    tokenizer = built({})
    with ThreadPoolExecutor(4) as pool:
        together = [tokens.ids for tokens in pool.map(tokenizer, TEXTS["tokenizer"] * 5)]
    np.testing.assert_array_equal(together, [tokenizer(text).ids for text in TEXTS["tokenizer"]] * 5)


def test_separators_are_stripped_only_on_request(folder: Path) -> None:
    config = {"context_length": 8}
    kept = built(config, folder)("photo").ids
    stripped = built(config | {"tokenizer_kwargs": {"strip_sep_token": True}}, folder)("photo").ids
    assert (kept == 3).sum() == 1
    np.testing.assert_array_equal(stripped, np.where(kept == 3, 0, kept))


def test_special_tokens_that_the_config_leaves_out(folder: Path) -> None:
    """bert-base-uncased's does."""
    config = {"context_length": 8, "tokenizer_kwargs": {"strip_sep_token": True}}
    named = built(config, folder)("a photo").ids
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    np.testing.assert_array_equal(built(config, folder)("a photo").ids, named)


def test_padding_and_truncation_on_the_left(folder: Path) -> None:
    right = built({"context_length": 12}, folder)("a cat").ids.tolist()
    change_config(folder, padding_side="left")
    assert built({"context_length": 12}, folder)("a cat").ids.tolist() == right[right.index(0) :] + [
        index for index in right if index
    ]
    change_config(folder, truncation_side="left")
    end = built({"context_length": 5}, folder)("a photo of a cat").ids.tolist()
    assert end[-2] == right[right.index(3) - 1]  # the text's last piece is kept


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"tokenizer_kwargs": {"clean": "upper"}}, "upper"),
        ({"tokenizer_kwargs": {"reduction_mask": "random"}}, "reduction_mask"),
        ({"tokenizer_kwargs": {"strip_sep_token": True}}, "strip_sep_token"),  # CLIP's own has none
        ({"tokenizer_mode": "clips"}, "tokenizer_mode"),
    ],
)
def test_options_that_are_not_built_are_refused(config: dict[str, Any], named: str) -> None:
    with pytest.raises(UnsupportedModel, match=named):
        built(config)


def test_options_of_a_file_tokenizer_are_refused(folder: Path) -> None:
    with pytest.raises(UnsupportedModel, match="language"):
        built({"tokenizer_kwargs": {"language": "en"}}, folder)


def test_no_padding_token_at_all(folder: Path) -> None:
    saved = json.loads((folder / "tokenizer.json").read_text().replace("[PAD]", "[FILL]"))
    (folder / "tokenizer.json").write_text(json.dumps(saved))
    with pytest.raises(CorruptCheckpoint, match=r"\[PAD\]"):
        built({}, folder)
    (folder / "tokenizer_config.json").write_text("{}")
    with pytest.raises(UnsupportedModel, match="pad_token"):
        built({}, folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("truncation_side", "middle"),
        ("truncation_side", 7),
        ("padding_side", ["left"]),
        ("pad_token", {"content": 5}),
        ("pad_token", ["[PAD]"]),
        ("src_lang", {"a": 1}),
        ("eos_token", 3),
    ],
)
def test_a_wrong_value_of_the_config_is_refused_by_name(folder: Path, key: str, value: Any) -> None:
    change_config(folder, **{key: value})
    with pytest.raises(CorruptCheckpoint, match=f"tokenizer_config.json: {key} "):
        built({}, folder)


def test_a_vocabulary_beyond_the_token_table_is_refused_with_both_numbers(folder: Path) -> None:
    largest = max(json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"].values())
    build_tokenizer(tokenizer_config({}), folder, largest + 1)
    with pytest.raises(CorruptCheckpoint, match=rf"tokenizer.json.* {largest}, .* {largest}:"):
        build_tokenizer(tokenizer_config({}), folder, largest)
    with pytest.raises(CorruptCheckpoint, match=r"vocab_size 49407: .* 49407"):
        build_tokenizer(tokenizer_config({}), None, 49407)


def test_a_text_that_makes_the_library_panic_is_refused_alone(folder: Path) -> None:
    """An expression that explodes for some texts: the library gives up, and panics."""
    saved = json.loads((folder / "tokenizer.json").read_text())
    explodes = {"Regex": "(x+x+)+y"}
    saved["pre_tokenizer"] = {"type": "Split", "pattern": explodes, "behavior": "Removed", "invert": False}
    (folder / "tokenizer.json").write_text(json.dumps(saved))
    tokenizer = built({}, folder)
    with pytest.raises(InvalidInput, match="cannot read it"):
        tokenizer("x" * 200)
    assert tokenizer("a cat").count


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"<html></html>", b"\xff\xfe"])
def test_damaged_files(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(CorruptCheckpoint, match="cannot be read"):
        built({}, folder)
