"""Everything that loading takes is one value, whose defaults stand in one place."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path

import pytest

from openclip_api import LoadOptions, load
from openclip_api.settings import read_settings


def test_options_and_changes_make_one(tiny: Path):
    options = LoadOptions(precision="int8", max_batch=3)
    with closing(load(f"local-dir:{tiny}", None, options, precision="fp32", model_id="mine")) as embedder:
        assert (embedder.info.precision, embedder.info.model_id) == ("fp32", "mine")


def test_an_unknown_option_is_refused(tiny: Path):
    with pytest.raises(TypeError, match="no_such_option"):
        load(f"local-dir:{tiny}", no_such_option=1)


def test_settings_say_all_of_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    settings = read_settings(
        device="cpu", precision="fp32", threads=2, cache_dir="/cache", max_image_megapixels=7, jpeg_scaling="off",
        max_batch=3, max_queue=5, max_queue_mb=2, text_cache_mb=1, decode="process", self_check=False,
    )  # fmt: skip
    options = LoadOptions("cpu", "fp32", 2, Path("/cache"), 7, "off", 3, 5, 2_000_000, 1_000_000, 2, False)
    assert settings.load_options == options
    usual = LoadOptions()
    assert all(getattr(options, field.name) != getattr(usual, field.name) for field in fields(LoadOptions))
    # The server's defaults differ from the library's: it keeps texts' vectors, and decodes images in processes.
    assert replace(read_settings().load_options, text_cache_bytes=0, decode_processes=0) == usual


@pytest.mark.process
def test_settings_import_nothing_heavy():
    program = "import sys, openclip_api.settings; print({'numpy', 'openvino'} & sys.modules.keys())"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == "set()"
