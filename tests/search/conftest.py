from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openclip_api.bulk.options import options_of
from openclip_api.runtime.embedder import Embedder
from openclip_api.search import command, options, search_options
from openclip_api.search.index import index as index_command
from openclip_api.settings import read_settings

from ..bulk.conftest import embedder, run  # noqa: F401

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture
def index(embedder: Embedder) -> Callable[..., int]:  # noqa: F811
    """index(SOURCE, ..., store=PATH) → exit code, without the process."""

    def index(*arguments: Any, **settings: Any) -> int:
        parser = argparse.ArgumentParser()
        options.add_index_arguments(parser)
        parsed = parser.parse_args(["--progress", "quiet", *map(str, arguments)])
        chosen = options_of(options.IndexOptions, parsed)
        return index_command(chosen, read_settings(**settings), lambda settings: embedder)

    return index


@pytest.fixture
def search(embedder: Embedder) -> Callable[..., int]:  # noqa: F811
    def search(*arguments: Any, **settings: Any) -> int:
        parser = argparse.ArgumentParser()
        search_options.add_search_arguments(parser)
        chosen = options_of(search_options.SearchOptions, parser.parse_args([*map(str, arguments)]))
        return command.search(chosen, read_settings(**settings), lambda settings: embedder)

    return search
