"""What a user without torch is told; what the engine computes is proved in parity/test_torch_engine.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from openclip_api import load
from openclip_api.engines.torch import is_installed
from openclip_api.errors import MissingExtra

from ..support.tiny_checkpoint import write_tiny_checkpoint

pytestmark = pytest.mark.skipif(is_installed(), reason="torch is installed here")


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_gpu_needs_the_extra(tiny: Path, device: str):
    with pytest.raises(MissingExtra) as caught:
        load(f"local-dir:{tiny}", device=device)
    assert f"DEVICE={device}" in str(caught.value)
    assert "pip install 'openclip-api[torch]'" in str(caught.value)


def test_a_model_without_a_graph_names_its_flag_and_the_extra(tmp_path: Path):
    folder = write_tiny_checkpoint(tmp_path / "custom")
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["vision_cfg"]["qk_norm"] = True
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(MissingExtra) as caught:
        load(f"local-dir:{folder}")
    assert "vision_cfg.qk_norm = True is not supported" in str(caught.value)
    assert "pip install 'openclip-api[torch]'" in str(caught.value)
