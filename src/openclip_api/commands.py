"""The commands of the command line, each with its flags and an example."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .bulk.options import EmbedOptions, add_embed_arguments, options_of
from .checkpoints.sources import LocalFolder, read_path, read_source
from .errors import InvalidStore, MissingExtra
from .search.options import IndexOptions, PhotosOptions, add_index_arguments, add_photos_arguments
from .search.search_options import (
    DuplicatesOptions,
    SearchOptions,
    add_duplicates_arguments,
    add_search_arguments,
)
from .settings import Settings

if TYPE_CHECKING:
    from .runtime.embedder import Embedder


def load_model(settings: Settings) -> Embedder:
    """The model that MODEL_NAME and MODEL_PRETRAINED name, or the first of MODELS. Raises StartupError."""
    from .runtime.loader import load

    model = settings.default_model
    return load(model.source, options=settings.load_options, model_id=model.model_id)


def _load_for_one_item(settings: Settings) -> Embedder:
    """As load_model, for a command that reads one image at most: no process is started for that."""
    return load_model(settings.model_copy(update={"decode": "thread"}))


def _serve(settings: Settings, _: argparse.Namespace) -> int:
    from .server.worker_count import worker_count

    settings = _with_model_of_store(settings)
    workers = worker_count(settings)
    if workers > 1:  # the supervisor needs no engine: it imports none
        from .server.supervisor import supervise

        return supervise(settings, workers)
    from .server.run import run

    return run(settings)


def _with_model_of_store(settings: Settings) -> Settings:
    """The settings with the model of STORE, unless they name one. What is wrong with a store, its routes tell."""
    if settings.store is None or settings.models:
        return settings
    try:
        from .search.model import settings_of
        from .search.store import Store

        return settings_of(Store(settings.store), settings)
    except (ImportError, InvalidStore):
        return settings


def _info(settings: Settings, arguments: argparse.Namespace) -> int:
    if arguments.source is not None:
        return _describe(settings, arguments)
    embedder = _load_for_one_item(settings)
    print(json.dumps(dataclasses.asdict(embedder.info), indent=2))
    embedder.close()
    return 0


def _describe(settings: Settings, arguments: argparse.Namespace) -> int:
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported: nothing is to be downloaded
    from .runtime.describing import describe

    facts = describe(read_source(arguments.source, field="SOURCE"), settings.cache_dir)
    if arguments.json:
        print(json.dumps(facts, indent=2))
        return 0
    for name, value in facts.items():
        if value is not None:
            shown = ", ".join(value) if isinstance(value, list) else f"{value:,}" if isinstance(value, int) else value
            print(f"{name.replace('_', ' ') + ':':<16} {shown}")
    return 0


def _convert(settings: Settings, arguments: argparse.Namespace) -> int:
    from .runtime.convert import convert

    folder = read_path(arguments.directory, field="DIRECTORY")
    checkpoint = convert(read_source(arguments.source, field="SOURCE"), folder, cache_dir=settings.cache_dir)
    if checkpoint.warning:
        print(f"openclip-api: {checkpoint.warning}", file=sys.stderr)
    name = str(LocalFolder(folder))
    if arguments.json:
        print(json.dumps({"source": arguments.source, "model_name": name}))
    else:
        print(f"MODEL_NAME={shlex.quote(name)} serves this folder; open_clip.create_model takes the same name")
    return 0


def _models(settings: Settings, arguments: argparse.Namespace) -> int:
    from .runtime.listing import COLUMNS, listed_models

    words = arguments.filter.lower().split()
    rows = [row for row in listed_models(settings.cache_dir) if all(word in " ".join(row).lower() for word in words)]
    widths = [max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)]
    for row in (COLUMNS, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _quantize(settings: Settings, arguments: argparse.Namespace) -> int:
    from .runtime.quantize import quantize

    folder = quantize(
        settings.default_model.source,
        Path(arguments.images),
        Path(arguments.texts) if arguments.texts else None,
        cache_dir=settings.cache_dir,
        max_megapixels=settings.max_image_megapixels,
        image_reading=settings.image_reading,
    )
    print(f"saved in {folder}: PRECISION=int8 now uses it for this model")
    return 0


def _embed(settings: Settings, arguments: argparse.Namespace) -> int:
    with _extra("bulk", "embed"):
        from .bulk.command import embed
    return embed(options_of(EmbedOptions, arguments), settings, load_model)


def _index(settings: Settings, arguments: argparse.Namespace) -> int:
    with _extra("search", "index"):
        from .search.index import index
    return index(options_of(IndexOptions, arguments), settings, load_model)


def _photos(settings: Settings, arguments: argparse.Namespace) -> int:
    with _extra("search", "photos"):
        from .server.photos import photos
    return photos(options_of(PhotosOptions, arguments), settings)


def _search(settings: Settings, arguments: argparse.Namespace) -> int:
    with _extra("search", "search"):
        from .search.command import search
    return search(options_of(SearchOptions, arguments), settings, _load_for_one_item)


def _duplicates(settings: Settings, arguments: argparse.Namespace) -> int:
    with _extra("search", "duplicates"):
        from .search.duplicates_command import duplicates
    return duplicates(options_of(DuplicatesOptions, arguments), settings)


@contextmanager
def _extra(extra: str, command: str) -> Iterator[None]:
    """Around the imports of a command that needs the packages of an extra. Raises MissingExtra."""
    try:
        yield
    except ImportError as error:
        raise MissingExtra(f"{command} needs {error.name}: pip install 'openclip-api[{extra}]'") from error


def _add_models_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("filter", nargs="?", default="", help="show only lines that contain all these words")


SOURCE = "a name, name:tag, name:/path/of/weights, org/repo of a hub, or a folder"


def _add_info_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", nargs="?", help=f"{SOURCE}, or a file: describe it without loading it")
    parser.add_argument("--json", action="store_true", help="as JSON")


def _add_convert_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help=SOURCE)
    parser.add_argument("directory", help="a new or empty folder")
    parser.add_argument("--json", action="store_true", help="as JSON")


def _add_quantize_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--images", required=True, metavar="DIR", help="a folder of images like those that you will embed"
    )
    parser.add_argument("--texts", metavar="FILE", help="a file of texts like those that you will embed, one per line")


class Command(NamedTuple):
    """A command imports what it needs when it runs, so that --help and `models` start fast and need no extra.

    settings: those that its --help shows; --help-all shows all. None: all.
    goes_on: where it was interrupted, the same command does the rest.
    """

    help: str
    run: Callable[[Settings, argparse.Namespace], int]
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    example: str = ""
    settings: tuple[str, ...] | None = None
    goes_on: bool = False


MODEL = ("model_name", "model_pretrained", "precision")

COMMANDS = {
    "serve": Command("start the server", _serve, example="openclip-api serve --model-name ViT-B-32"),
    "info": Command(
        "load the model and describe it as JSON; with a source, describe that without loading it",
        _info,
        _add_info_arguments,
        example="openclip-api info epoch_3.pt",
        settings=(*MODEL, "cache_dir"),
    ),
    "convert": Command(
        "write any checkpoint as a folder in open_clip's layout",
        _convert,
        _add_convert_arguments,
        example="openclip-api convert openai/clip-vit-base-patch32 clip-b-32",
        settings=("cache_dir",),
    ),
    "models": Command("list OpenCLIP's models and their tags", _models, _add_models_arguments, settings=("cache_dir",)),
    "quantize": Command(
        "calibrate the model's int8 form on your own images and texts",
        _quantize,
        _add_quantize_arguments,
        example="openclip-api quantize --images photos/",
        settings=(*MODEL, "cache_dir"),
    ),
    "embed": Command(
        "embed a collection into files of vectors; run it again to update them",
        _embed,
        add_embed_arguments,
        example="openclip-api embed photos/ --out vectors",
        settings=MODEL,
        goes_on=True,
    ),
    "index": Command(
        "build a store of vectors from folders, tables and archives; run it again to update it",
        _index,
        add_index_arguments,
        example="openclip-api index photos/ --store photos.lance",
        settings=("store", *MODEL),
        goes_on=True,
    ),
    "search": Command(
        "search a store by a text or an image",
        _search,
        add_search_arguments,
        example="openclip-api search --store photos.lance a red car",
        settings=("store", *MODEL),
    ),
    "duplicates": Command(
        "list the duplicates in a store",
        _duplicates,
        add_duplicates_arguments,
        example="openclip-api duplicates --store photos.lance",
        settings=("store",),
    ),
    "photos": Command(
        "search a folder's photos in the browser; new photos are added as they come",
        _photos,
        add_photos_arguments,
        example="openclip-api photos ~/Pictures",
        settings=("store", *MODEL, "port"),
        goes_on=True,
    ),
}
