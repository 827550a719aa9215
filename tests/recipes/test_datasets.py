"""Images that Hugging Face's datasets keep as bytes, and what it makes of rows without a vector."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import Dataset, load_dataset
from PIL import Image

from ..support.protocol_pages import ROOT


def embed(*arguments: object) -> int:
    command = [sys.executable, "-m", "openclip_api", "embed", *map(str, arguments)]
    return subprocess.run([*command, "--model-name", "emoji", "--progress", "quiet"], timeout=300).returncode


def test_pictures_held_in_a_dataset_have_their_files_vectors(tmp_path: Path):
    files = sorted((ROOT / "samples").glob("*.png"))[:3]
    pictures = Dataset.from_dict({"name": [file.name for file in files], "image": [Image.open(file) for file in files]})
    pictures.to_parquet(tmp_path / "pictures.parquet")
    options = ("--image-column", "image", "--id-column", "name", "--out", tmp_path / "held")
    assert embed(tmp_path / "pictures.parquet", *options) == 0
    assert embed(*files, "--out", tmp_path / "files") == 0
    held, read = pd.read_parquet(tmp_path / "held" / "vectors"), pd.read_parquet(tmp_path / "files" / "vectors")
    assert held["id"].to_list() == [file.name for file in files]
    np.testing.assert_allclose(np.stack(held["vector"]), np.stack(read["vector"]), atol=1e-5)


def test_rows_that_failed_have_none(tmp_path: Path):
    (tmp_path / "t.csv").write_text('text\na cat\n""\n')
    options = ("--text-column", "text", "--dtype", "float16", "--out", tmp_path / "out")
    assert embed(tmp_path / "t.csv", *options) == 3
    files = f"{tmp_path}/out/vectors/*.parquet"
    rows = load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert str(rows.features["vector"].feature.dtype) == "float16"
    assert [row["vector"] is None for row in rows] == [False, True]
    errors = pd.read_parquet(tmp_path / "out" / "vectors")["error"]
    assert errors.isna().to_list() == [True, False]
    assert errors[1] == "column 'text' is empty"
