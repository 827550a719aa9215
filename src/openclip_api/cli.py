"""The command line: openclip-api serve | models | info | quantize | embed | index | search."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from . import __version__
from .bulk import options as bulk_options
from .errors import JobError, MissingExtra, StartupError
from .search import options as search_options
from .settings import Settings, read_settings

if TYPE_CHECKING:
    from .runtime.embedder import Embedder


class Job(NamedTuple):
    """A command whose packages are an extra: they are imported when it runs."""

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], argparse.ArgumentParser]
    take: Callable[[dict[str, Any]], Any]
    module: str
    extra: str


JOBS = {
    "embed": Job(
        "embed a collection into Parquet shards; interrupted, it goes on",
        bulk_options.add_arguments,
        bulk_options.take_options,
        ".bulk.command",
        "bulk",
    ),
    "index": Job(
        "put a collection's vectors into a store, add to it, delete from it",
        search_options.add_index_arguments,
        search_options.take_index_options,
        ".search.command",
        "search",
    ),
    "search": Job(
        "look for a text or an image in a store",
        search_options.add_search_arguments,
        search_options.take_search_options,
        ".search.command",
        "search",
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 well, 1 it could not start, 2 wrong usage."""
    options = vars(_parser().parse_args(arguments))
    command = options.pop("command")
    try:
        if command in JOBS:
            _run_job(command, JOBS[command].take(options), read_settings(**options))
        wanted, images, texts = (options.pop(name, None) for name in ("filter", "images", "texts"))
        settings = read_settings(**options)
        if command == "quantize":
            return _quantize(settings, Path(images), Path(texts) if texts else None)
        if command == "models":
            return _models(wanted or "", settings.cache_dir)
        return _serve(settings) if command == "serve" else _info(settings)
    except (StartupError, JobError) as error:
        print(f"openclip-api: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="openclip-api", description="OpenCLIP embeddings over HTTP, without torch.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    serve = commands.add_parser("serve", help="start the server")
    info = commands.add_parser("info", help="load the model and print what it is, as JSON")
    models = commands.add_parser("models", help="list OpenCLIP's models and their tags")
    models.add_argument("filter", nargs="?", default="", help="show only lines that contain all these words")
    quantize = commands.add_parser("quantize", help="calibrate the model's int8 form on your own images and texts")
    quantize.add_argument("--images", required=True, metavar="DIR", help="a folder of images like those to be embedded")
    quantize.add_argument("--texts", metavar="FILE", help="texts like those to be embedded, one a line")
    jobs = [job.add_arguments(commands.add_parser(name, help=job.help)) for name, job in JOBS.items()]
    for command in (serve, info, models, quantize, *jobs):
        _add_settings(command)
    return parser


def _add_settings(command: argparse.ArgumentParser) -> None:
    """A flag for each setting; what is not given on the command line stays with the environment."""
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f" (default {_shown(field.default)})"
        command.add_argument(
            f"--{name.replace('_', '-')}",
            default=argparse.SUPPRESS,
            metavar="VALUE",
            help=f"{field.description}{default}; environment: {name.upper()}".replace("%", "%%"),
        )


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return ",".join(default) if isinstance(default, list) else str(default)


def _serve(settings: Settings) -> NoReturn:
    from .server.run import run  # a listing of models need not import a web server

    _exit(run(settings))


def _exit(code: int) -> NoReturn:
    """All is answered, written and closed. What is left, Python's shutdown beside OpenVINO's threads, crashed once
    in some hundred stops, and would turn a clean exit into a failure."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run_job(command: str, options: Any, settings: Settings) -> NoReturn:
    job = JOBS[command]
    try:
        run = getattr(import_module(job.module, __package__), command)
    except ImportError as error:
        raise MissingExtra(f"{command} needs {error.name}: pip install 'openclip-api[{job.extra}]'") from error
    from .runtime.loader import load

    def load_model() -> Embedder:
        name, tag = settings.model_name, settings.tag
        return load(name, tag, settings.load_options, model_id=settings.served_model_id)

    try:
        _exit(run(options, settings, load_model))
    except (StartupError, JobError) as error:
        print(f"openclip-api: {error}", file=sys.stderr)
        _exit(1)
    except KeyboardInterrupt:
        _exit(130)


def _info(settings: Settings) -> int:
    from .runtime.loader import load

    embedder = load(settings.model_name, settings.tag, settings.load_options, model_id=settings.served_model_id)
    print(json.dumps(dataclasses.asdict(embedder.info), indent=2))
    embedder.close()
    return 0


def _quantize(settings: Settings, images: Path, texts: Path | None) -> int:
    from .runtime.quantize import quantize

    folder = quantize(
        settings.model_name,
        settings.tag,
        images,
        texts,
        cache_dir=settings.cache_dir,
        max_megapixels=settings.max_image_megapixels,
    )
    print(f"saved in {folder}: PRECISION=int8 now uses it for this model")
    return 0


def _models(wanted: str, cache_dir: Path | None) -> int:
    from .runtime.listing import COLUMNS, listed_models

    rows = [COLUMNS, *(row for row in listed_models(cache_dir) if _has_all(" ".join(row), wanted))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _has_all(line: str, words: str) -> bool:
    return all(word in line.lower() for word in words.lower().split())
