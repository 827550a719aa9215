from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from lance import LanceDataset

import openclip_api
from openclip_api.bulk.command import embed
from openclip_api.bulk.options import EmbedOptions, add_embed_arguments, options_of
from openclip_api.runtime.embedder import Embedder
from openclip_api.settings import read_settings

Embed = Callable[..., int]
GOLDEN = Path(__file__).parents[1] / "golden" / "images"


@pytest.fixture(scope="session")
def embedder() -> Iterator[Embedder]:
    embedder = openclip_api.load("emoji", precision="fp32")
    yield embedder
    embedder.close()


@pytest.fixture
def run(embedder: Embedder) -> Embed:
    """The command without its process: run(source, ..., "--out", folder, max_body_mb=...) → exit code."""

    def run(*arguments: Any, **settings: Any) -> int:
        parser = argparse.ArgumentParser()
        add_embed_arguments(parser)
        parsed = parser.parse_args(["--progress", "quiet", *map(str, arguments)])
        return embed(options_of(EmbedOptions, parsed), read_settings(**settings), lambda settings: embedder)

    return run


def rows_of(out: Path) -> pl.DataFrame:
    if (out / "vectors.lance").exists():
        return pl.DataFrame(LanceDataset(str(out / "vectors.lance")).to_table())
    return pl.read_parquet(sorted((out / "vectors").glob("*.parquet")))


def vectors_of(rows: pl.DataFrame) -> np.ndarray:
    return np.array(rows["vector"].to_list(), np.float32)
