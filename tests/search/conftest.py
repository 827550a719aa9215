from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openclip_api.runtime.embedder import Embedder
from openclip_api.search import command, options
from openclip_api.settings import read_settings

from ..bulk.conftest import embedder, run  # noqa: F401

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture
def index(embedder: Embedder) -> Callable[..., int]:  # noqa: F811
    """index(SOURCE, ..., store=PATH) → exit code, without the process."""

    def index(*arguments: Any, **settings: Any) -> int:
        parser = options.add_index_arguments(argparse.ArgumentParser())
        taken = options.take_index_options(vars(parser.parse_args(["--progress", "quiet", *map(str, arguments)])))
        return command.index(taken, read_settings(**settings), lambda: embedder)

    return index


@pytest.fixture
def search(embedder: Embedder) -> Callable[..., int]:  # noqa: F811
    def search(*arguments: Any, **settings: Any) -> int:
        parser = options.add_search_arguments(argparse.ArgumentParser())
        taken = options.take_search_options(vars(parser.parse_args([*map(str, arguments)])))
        return command.search(taken, read_settings(**settings), lambda: embedder)

    return search
