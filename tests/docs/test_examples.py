"""The worked examples of CONTRIBUTING.md do what the text says of them."""

from __future__ import annotations

import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import openvino as ov
import pytest
from pydantic import ValidationError

from openclip_api.checkpoints.weights import Weights
from openclip_api.models import layers
from openclip_api.server import app
from openclip_api.settings import Settings

from ..support.repository import ROOT
from ..support.server_in_process import build_app, serve_in_process

SECTIONS = re.split(r"^## ", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.MULTILINE)


def example(heading: str) -> str:
    """The Python code below a heading."""
    (section,) = (section for section in SECTIONS if section.startswith(heading + "\n"))
    (code,) = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return code


def module(name: str, code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The code as a module of this name, though its file lies elsewhere."""
    file = folder / "example.py"
    file.write_text(code)
    spec = spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    made = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, made)
    spec.loader.exec_module(made)
    return made


def test_a_protocol(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch):
    acme = module("openclip_api.server.protocols.acme", example("Add a protocol"), tmp_path, monkeypatch)
    monkeypatch.setattr(app, "PROTOCOLS", [*app.PROTOCOLS, (acme.router, app.NATIVE)])
    with serve_in_process(build_app(MODEL_NAME=f"local-dir:{tiny}", PRECISION="fp32")) as server:
        answer = server.http.post("/acme/embed", json={"inputs": ["a cat", "a dog"]})
        native = server.http.post("/embeddings", json={"text": ["a cat", "a dog"]})
        refused = server.http.post("/acme/embed", json={"inputs": []})
    assert answer.json() == native.json()["embeddings"]
    assert answer.headers["x-model-fingerprint"] == native.headers["x-model-fingerprint"]
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "inputs")


def test_a_setting(monkeypatch: pytest.MonkeyPatch):
    code = example("Add a setting")
    name = code.partition(":")[0]
    fields = "".join(f"    {line}\n" for line in code.splitlines())
    names = {"Settings": Settings, "Field": sys.modules[Settings.__module__].Field}
    exec(f"class Extended(Settings):\n{fields}", names)
    extended = names["Extended"]
    monkeypatch.setenv(name.upper(), "2.5")
    assert getattr(extended(), name) == 2.5
    with pytest.raises(ValidationError):
        extended(**{name: 0})


def test_an_architecture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tower = module("openclip_api.models.mixer", example("Add an architecture"), tmp_path, monkeypatch)
    size, patch, width, hidden, depth = 32, 16, 6, (8, 12), 2
    shapes: dict[str, tuple[int, ...]] = {"stem.proj.weight": (width, 3, patch, patch), "stem.proj.bias": (width,)}
    norms = ["norm", *(f"blocks.{number}.norm{side}" for number in range(depth) for side in (1, 2))]
    shapes |= {f"{norm}.{part}": (width,) for norm in norms for part in ("weight", "bias")}
    for number in range(depth):
        for mlp, outer, inner in (("mlp_tokens", (size // patch) ** 2, hidden[0]), ("mlp_channels", width, hidden[1])):
            block = f"blocks.{number}.{mlp}"
            shapes |= {f"{block}.fc1.weight": (inner, outer), f"{block}.fc1.bias": (inner,)}
            shapes |= {f"{block}.fc2.weight": (outer, inner), f"{block}.fc2.bias": (outer,)}
    draw = np.random.default_rng(0)
    weights = Weights({key: draw.normal(size=shape).astype(np.float32) for key, shape in shapes.items()})
    pixels = layers.parameter("pixels", [-1, 3, size, size], np.float32)
    features = tower.mixer(pixels, weights, size=size, patch=patch, width=width, hidden=hidden)
    compiled = ov.Core().compile_model(ov.Model([features], [pixels]), "CPU")
    images = draw.normal(size=(3, 3, size, size)).astype(np.float32)
    answer = compiled(images)[0]
    assert answer.shape == (3, width)
    assert np.isfinite(answer).all()
    assert np.ptp(answer, axis=0).min() > 1e-4  # each image has its own
    assert list(weights.unused()) == []
