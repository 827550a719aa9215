"""NLLB's models take the language of a text as its first token; Immich and the native route tell it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import pytest

from openclip_api.checkpoints.config import TokenizerConfig
from openclip_api.inputs.languages import COMMON, flores_code
from openclip_api.inputs.tokenizer import build_tokenizer

from ...support.server_in_process import build_app, serve_in_process
from ...support.server_process import ServerProcess

FOLDER = Path("tests/golden/models/nllb")


@pytest.fixture(scope="module")
def nllb() -> Iterator[ServerProcess]:
    with serve_in_process(build_app(MODEL_NAME=f"local-dir:{FOLDER}", PRECISION="fp32", MODEL_ID="nllb")) as server:
        yield server


def vector(server: ServerProcess, text: str = "a red car", **options) -> np.ndarray:
    answer = server.http.post("/embeddings", json={"text": text, **options})
    assert answer.status_code == 200, answer.text
    return np.array(answer.json()["embeddings"][0])


def immich(server: ServerProcess, options: dict | None, text: str = "a red car") -> np.ndarray:
    model = {"modelName": "nllb"} | ({} if options is None else {"options": options})
    form = {"entries": (None, orjson.dumps({"clip": {"textual": model}}).decode()), "text": (None, text)}
    answer = server.http.post("/predict", files=form)
    assert answer.status_code == 200, answer.text
    return np.array(orjson.loads(answer.json()["clip"]))


def test_each_language_has_a_vector_of_its_own(nllb: ServerProcess):
    own = vector(nllb)
    np.testing.assert_array_equal(vector(nllb, language="eng_Latn"), own)
    np.testing.assert_array_equal(vector(nllb, language="en"), own)
    french = vector(nllb, language="fra_Latn")
    assert np.abs(french - own).max() > 1e-3
    for given in ("fr", "fr-CA", "FR_fr", "fra"):
        np.testing.assert_array_equal(vector(nllb, language=given), french)
    np.testing.assert_array_equal(vector(nllb), own)  # nothing was kept under the wrong language


def test_texts_in_flight_are_told_apart_by_their_language(nllb: ServerProcess):
    embedder = nllb.http.app.state.context.model_pool.default.embedder  # type: ignore[attr-defined]
    text = "not asked for before"
    futures = [embedder.submit_all([("text", text)] * 4, language)[0] for language in (None, "fra_Latn", "zul_Latn")]
    vectors = [future.result(10).vector for future in futures]
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-3
    assert np.abs(vectors[1] - vectors[2]).max() > 1e-3


@pytest.mark.parametrize("given", ["de", "xx", "", "\u00fc", "a" * 10_000, "fr" * 50])
def test_an_unknown_one_is_refused_with_the_list(nllb: ServerProcess, given: str):
    answer = nllb.http.post("/embeddings", json={"text": "a", "language": given})
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == "language"
    assert answer.json()["error"]["message"] == "language: expected one of ace_Arab, eng_Latn, fra_Latn, zul_Latn"


def test_a_model_without_languages_refuses_them(server: ServerProcess):
    answer = server.http.post("/embeddings", json={"text": "a", "language": "en"})
    assert answer.status_code == 422
    assert "reads all languages alike" in answer.json()["error"]["message"]


def test_immich_s_language(nllb: ServerProcess):
    own = immich(nllb, None)
    np.testing.assert_array_equal(immich(nllb, {}), own)
    np.testing.assert_array_equal(immich(nllb, {"language": "tlh"}), own)
    french = vector(nllb, language="fr")
    np.testing.assert_allclose(immich(nllb, {"language": "fr"}), french / np.linalg.norm(french), atol=1e-6)
    assert np.abs(immich(nllb, {"language": "fr"}) - own).max() > 1e-3


def test_the_language_takes_the_place_of_the_model_s_own():
    tokenizer = build_tokenizer(TokenizerConfig(12, "org/words", "whitespace"), FOLDER)
    own, french = tokenizer("a red car eng_Latn"), tokenizer("a red car eng_Latn", "fra_Latn")
    assert french.ids[0] == 392
    np.testing.assert_array_equal(french.ids[1:], own.ids[1:])
    long = "red car " * 50
    assert tokenizer(long, "fra_Latn").truncated
    np.testing.assert_array_equal(tokenizer(long, "fra_Latn").ids[1:], tokenizer(long).ids[1:])


def test_codes_of_bcp_47():
    known = [pair.split(":")[1] for pair in COMMON.split()] + ["zho_Hant", "ace_Arab", "ace_Latn"]
    cases = {"de": "deu_Latn", "zh": "zho_Hans", "zh-Hant": "zho_Hant", "zh_TW": "zho_Hant", "pt-BR": "por_Latn"}
    cases |= {"ace": "ace_Arab", "deu": "deu_Latn", "nb-NO": "nob_Latn", "deu_Latn": "deu_Latn"}
    assert {given: flores_code(given, known) for given in cases} == cases
    assert all(flores_code(pair.split(":")[0], known) == pair.split(":")[1] for pair in COMMON.split())
    assert flores_code("de", []) is None
