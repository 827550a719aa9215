"""The flags of `openclip-api embed` that are not settings. Imports no extra, so that --help works without one."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from .formats import Dtype, Format
    from .progress import Style

    OptionsT = TypeVar("OptionsT", bound=DataclassInstance)


COLUMN_TYPES = ("string", "int64", "float64", "bool", "date", "timestamp", "timestamptz")


@dataclass(frozen=True)
class SourceOptions:
    """What `add_source_arguments` adds."""

    source: list[str]
    path_column: str | None
    url_column: str | None
    image_column: str | None
    text_column: str | None
    id_column: str | None
    keep: list[str]
    column_type: list[tuple[str, str]]
    exclude: list[str]
    hidden: bool
    progress: Style


@dataclass(frozen=True)
class EmbedOptions(SourceOptions):
    out: Path
    format: Format
    dtype: Dtype
    normalize: bool
    shard_rows: int
    server: list[str]
    ray: str | None


def options_of(kind: type[OptionsT], arguments: argparse.Namespace) -> OptionsT:
    """A dataclass of options from the parsed arguments of the same names."""
    return kind(**{field.name: getattr(arguments, field.name) for field in fields(kind)})


def add_embed_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser, "+")
    add = parser.add_argument
    add(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="the folder for the results; run the same command again to continue or update",
    )
    add(
        "--format",
        choices=("parquet", "npy", "jsonl", "lance"),
        default="parquet",
        help="the format of the files (default parquet)",
    )
    add(
        "--dtype",
        choices=("float32", "float16"),
        default="float32",
        help="the type of the vectors' numbers (default float32)",
    )
    add("--normalize", action="store_true", help="scale each vector to length 1")
    add("--shard-rows", type=positive, default=10_000, metavar="N", help="rows in one file (default 10000)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--server",
        action="append",
        default=[],
        metavar="URL",
        help="let this running server compute the vectors; repeat it to share the work among several",
    )
    where.add_argument(
        "--ray",
        nargs="?",
        const="auto",
        type=_ray_address,
        metavar="HOST:PORT",
        help="let this Ray cluster compute the vectors (no address: RAY_ADDRESS, or the cluster on this machine)",
    )


def add_source_arguments(parser: argparse.ArgumentParser, count: str) -> None:
    """What to embed, and how to show progress. count: how many SOURCEs, as argparse's nargs."""
    add = parser.add_argument
    add(
        "source",
        nargs=count,
        metavar="SOURCE",
        help="a folder of images (with its subfolders), a pattern, an image, a .txt file (one text per line), "
        "a table (.csv, .tsv, .jsonl, .parquet), or a webdataset archive (.tar, .tar.gz)",
    )
    role = parser.add_mutually_exclusive_group()
    role.add_argument(
        "--path-column", metavar="NAME", help="the table's column with image paths, relative to the table's folder"
    )
    role.add_argument("--url-column", metavar="NAME", help="the table's column with image URLs (public addresses only)")
    role.add_argument(
        "--image-column", metavar="NAME", help="the table's column with images: base64, data URIs or bytes"
    )
    role.add_argument(
        "--text-column", metavar="NAME", help="the table's column with texts; in a .tar the suffix, such as txt"
    )
    add("--id-column", metavar="NAME", help="the table's column with ids (default: file:row)")
    add(
        "--keep",
        type=_names,
        default=[],
        metavar="NAMES",
        help="other columns to keep with the vectors, comma-separated",
    )
    add(
        "--column-type",
        action="append",
        type=_column_type,
        default=[],
        metavar="NAME=TYPE",
        help="the type of a kept column of a .csv, .tsv or .jsonl file (default: found from its values): "
        f"{', '.join(COLUMN_TYPES)}; may be repeated",
    )
    add_selection_arguments(parser)
    add(
        "--progress",
        choices=("auto", "bar", "json", "quiet"),
        default="auto",
        help="auto: a bar on a terminal, JSON lines elsewhere (default auto)",
    )


def add_selection_arguments(parser: argparse.ArgumentParser) -> None:
    """Which files of folders are taken."""
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="PATTERN",
        help="leave out the files that match, as in a .gitignore: 'raw/', '*.png'; may be repeated",
    )
    parser.add_argument("--hidden", action="store_true", help="include hidden and system files and folders")


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return int(text)


def _ray_address(text: str) -> str:
    if text != "auto" and not re.fullmatch(r"[\w.-]+:\d+|\[[\da-fA-F:]+\]:\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT; write the SOURCE before --ray")
    return text


def _column_type(text: str) -> tuple[str, str]:
    name, _, type = text.rpartition("=")
    if not name or type not in COLUMN_TYPES:
        raise argparse.ArgumentTypeError(f"write it as NAME=TYPE, with one of {', '.join(COLUMN_TYPES)}")
    return name, type


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
