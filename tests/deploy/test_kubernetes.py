"""deploy/kubernetes*.yaml against Kubernetes' own schemas; compose.yaml as podman-compose reads it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from ..support.repository import ROOT

pytestmark = pytest.mark.deployment
TOOLS = ROOT / ".venv-deployment" / "bin"
OLDEST, NEWEST = "1.29", "1.37"


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", ["kubernetes.yaml", "kubernetes-autoscaling.yaml"])
def test_kubernetes_takes_it(name: str, version: str, tmp_path: Path):
    file = ROOT / "deploy" / name
    assert validate(file, version).returncode == 0, validate(file, version).stdout
    misspelled = tmp_path / name
    misspelled.write_text(file.read_text().replace("spec:", "specs:", 1))
    assert validate(misspelled, version).returncode != 0  # it would say so


def validate(file: Path, version: str) -> subprocess.CompletedProcess[str]:
    command = [TOOLS / "kubernetes-validate", "--strict", "--kubernetes-version", version, file]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_compose_takes_it():
    command = [TOOLS / "podman-compose", "--file", ROOT / "compose.yaml", "config"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    service = yaml.safe_load(shown)["services"]["openclip-api"]
    assert service["volumes"] == ["cache:/cache"]
    assert service["environment"]["MODEL_NAME"] == "ViT-B-32"
