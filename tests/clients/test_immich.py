"""Forms as Immich's server makes them, with Node's own FormData, Blob and fetch."""

from __future__ import annotations

import json
import shutil
import subprocess

import numpy as np
import pytest

from .conftest import ROOT, Reference

SEND = """
import { readFile } from "node:fs/promises";
const [url, entries, image, text] = process.argv.slice(2);
const form = new FormData();
form.append("entries", entries);
if (image) form.append("image", new Blob([await readFile(image)]));
else form.append("text", text);
const response = await fetch(new URL("/predict", url), { method: "POST", body: form });
console.log(JSON.stringify({ status: response.status, body: await response.json() }));
"""

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="no Node here")


def predict(url: str, entries: dict, image: str = "", text: str = "") -> dict:
    command = ["node", "--input-type=module", "-", url, json.dumps(entries), image, text]
    done = subprocess.run(command, cwd=ROOT, input=SEND, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def test_an_image(url: str, unit: Reference, picture: str):
    answer = predict(url, {"clip": {"visual": {"modelName": "emoji"}}}, image="samples/cat.png")
    assert answer["status"] == 200
    assert answer["body"]["imageWidth"] > 0
    np.testing.assert_allclose([json.loads(answer["body"]["clip"])], unit(image=picture), atol=1e-6)


def test_a_text(url: str, unit: Reference):
    entries = {"clip": {"textual": {"modelName": "emoji", "options": {"language": "de"}}}}
    answer = predict(url, entries, text="ein rotes Auto")
    np.testing.assert_allclose([json.loads(answer["body"]["clip"])], unit(text="ein rotes Auto"), atol=1e-6)


def test_faces_are_for_the_next_url(url: str):
    models = {"modelName": "buffalo_l"}
    entries = {"facial-recognition": {"detection": {**models, "options": {"minScore": 0.7}}, "recognition": models}}
    assert predict(url, entries, image="samples/cat.png")["status"] == 422
