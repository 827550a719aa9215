"""Everything that loading takes is one value, whose defaults stand in one place."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path

import pytest

from openclip_api import LoadOptions, load
from openclip_api.checkpoints.checkpoint import find
from openclip_api.checkpoints.digest import file_sha256
from openclip_api.errors import InvalidSetting
from openclip_api.settings import read_settings


def test_options_and_changes_make_one(tiny: Path):
    options = LoadOptions(precision="int8", max_batch=3)
    with closing(load(f"local-dir:{tiny}", None, options, precision="fp32", model_id="mine")) as embedder:
        assert (embedder.info.precision, embedder.info.model_id) == ("fp32", "mine")


def test_an_unknown_option_is_refused(tiny: Path):
    with pytest.raises(TypeError, match="no_such_option"):
        load(f"local-dir:{tiny}", no_such_option=1)


def test_the_reading_is_part_of_the_fingerprint(tiny: Path):
    """open_clip's adds nothing to it: stores of version 0.1 stay valid."""
    with closing(load(f"local-dir:{tiny}", precision="fp32", image_reading="open_clip")) as old:
        checkpoint = find(f"local-dir:{tiny}")
        assert old.info.fingerprint == checkpoint.fingerprint(file_sha256(checkpoint.weights), "fp32")
    with closing(load(f"local-dir:{tiny}", precision="fp32")) as new:
        assert new.info.image_reading == "natural"
        assert new.info.fingerprint != old.info.fingerprint
    with pytest.raises(InvalidSetting, match="image_reading='upright'"):
        load(f"local-dir:{tiny}", image_reading="upright")


@pytest.mark.parametrize("names", [("jpg", "tga"), ("secret",)])
def test_a_format_that_is_none(tiny: Path, names: tuple[str, ...]):
    with pytest.raises(InvalidSetting, match=r"IMAGE_FORMATS='(tga|secret)': expected all, or some of JPEG, PNG"):
        load(f"local-dir:{tiny}", image_formats=names)
    with pytest.raises(InvalidSetting, match="IMAGE_FORMATS"):
        read_settings(image_formats=",".join(names))


def test_settings_say_all_of_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    settings = read_settings(
        device="cpu", precision="fp32", threads=2, cache_dir="/cache", max_image_megapixels=7, jpeg_scaling="off",
        max_batch=3, max_queue=5, max_queue_mb=2, text_cache_mb=1, decode="process", self_check=False,
        image_reading="open_clip", image_formats="tif,png",
    )  # fmt: skip
    options = LoadOptions("cpu", "fp32", 2, Path("/cache"), 7, "off", 3, 5, 2_000_000, 1_000_000, 3, False,
                          "open_clip", ("TIFF", "PNG"))  # fmt: skip
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
