"""OUT/manifest.jsonl: the first line says what the run is, then a line names each shard that is done.

A line ends a run: how many items there were, and which rows of the shards were for none of them. A later run adds
shards of what is new, and such a line. A shard counts only if a line names it and its files are what the line says. A
shard that was written but not recorded is made again, over its files. A torn last line is cut off.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from filelock import FileLock, Timeout

from ..errors import CannotWrite, InvalidSource, OtherRun
from .durable import TEMPORARY, WrittenFile, append_line, is_whole, truncate, write_file
from .formats import FOLDERS, Dtype, Format

MANIFEST = "manifest.jsonl"
LAYOUT = 2  # of the manifest and the shards' columns


@dataclass(frozen=True)
class ModelIdentity:
    id: str
    precision: str
    fingerprint: str
    embed_dim: int


@dataclass(frozen=True)
class RunIdentity:
    """What a run is. A later run continues it only if all of this is equal, except for the program's version.

    The fields are the manifest's: their names and their order must not change.
    """

    openclip_api: str
    layout: int
    model: ModelIdentity
    format: Format
    dtype: Dtype
    normalize: bool
    shard_rows: int
    columns: Mapping[str, str]  # those carried along: name → type


class FinishedShard(NamedTuple):
    """A shard that is embedded and not written yet. files: suffix → content."""

    rows: int
    failures: int
    files: dict[str, bytes]


class RecordedShard(NamedTuple):
    """A shard that is written, and named in the manifest."""

    number: int
    rows: int
    failures: int
    files: tuple[WrittenFile, ...]


class GoneRow(NamedTuple):
    """A row of a shard for which there is no item any more. row: counted from 0 in the shard."""

    shard: int
    row: int
    id: str
    stamp: str


@dataclass(frozen=True)
class RecordedRun:
    """What the manifest of a folder says. Nobody has checked that the files are what it says."""

    format: Format
    model_id: str
    fingerprint: str
    shards: list[RecordedShard]
    gone: list[GoneRow]
    folder: Path  # of the shards' files
    is_complete: bool


def read_run(out: Path) -> RecordedRun:
    """Read a run without locking it. Raises InvalidSource if there is none in the folder."""
    try:
        (first, *lines), _ = _whole_lines(out / MANIFEST)
    except (OSError, ValueError) as error:
        raise InvalidSource(f"{out}: not a folder of openclip-api embed") from error
    if first.get("layout") != LAYOUT:
        raise InvalidSource(f"{out}: embedded by an older version; embed again, into another folder")
    shards = [shard for _, shard in sorted(_recorded_shards(lines).items())]
    ends = [line for line in lines if "gone" in line]
    is_complete = bool(lines) and lines[-1] in ends
    gone = [GoneRow(*row) for row in ends[-1]["gone"]] if is_complete else []
    model, format = first["model"], first["format"]
    return RecordedRun(format, model["id"], model["fingerprint"], shards, gone, out / FOLDERS[format], is_complete)


class Ledger:
    """The folder of one run, locked until it is closed. Raises OtherRun, CannotWrite."""

    def __init__(self, out: Path, identity: RunIdentity) -> None:
        self._out = out
        self._folder = out / FOLDERS[identity.format]
        self._manifest = out / MANIFEST
        self._shards: dict[int, RecordedShard] = {}
        self._end: dict[str, Any] | None = None  # the last line, if it ends a run
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(out / ".lock")
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise OtherRun(f"{out}: another run is writing here") from error
        except OSError as error:
            raise CannotWrite(f"{out}: {error.strerror}") from error
        try:
            self._open(identity)
        except BaseException:
            self._lock.release()
            raise

    def _open(self, identity: RunIdentity) -> None:
        for folder in (self._out, self._folder):
            for leftover in folder.glob(f"*{TEMPORARY}"):
                leftover.unlink()
        if not self._manifest.exists():
            self._refuse_other_files()
            write_file(self._manifest, orjson.dumps(identity) + b"\n")
        lines, size = _whole_lines(self._manifest)
        if size < self._manifest.stat().st_size:
            truncate(self._manifest, size)
        if not lines:
            raise OtherRun(f"{self._manifest}: is damaged; use another folder")
        if difference := _difference(lines[0], asdict(identity)):
            raise OtherRun(
                f"{self._out} holds a run with {difference}; use another folder, or the same settings as before"
            )
        recorded = _recorded_shards(lines[1:])
        self._end = lines[-1] if "gone" in lines[-1] else None
        self._shards = {number: shard for number, shard in recorded.items() if self._is_whole(shard)}

    def _refuse_other_files(self) -> None:
        """Without a manifest no file in the folder is a run's, so none may be overwritten."""
        found = [path.name for path in (*self._out.iterdir(), *self._folder.iterdir())]
        if others := sorted(set(found) - {self._folder.relative_to(self._out).parts[0], ".lock"}):
            raise OtherRun(f"{self._out}: holds {others[0]!r} but no {MANIFEST}; use an empty folder")

    def _is_whole(self, shard: RecordedShard) -> bool:
        return all(is_whole(self._folder / file.name, file) for file in shard.files)

    def __contains__(self, number: int) -> bool:
        return number in self._shards

    @property
    def rows(self) -> int:
        return sum(shard.rows for shard in self._shards.values())

    @property
    def failures(self) -> int:
        return sum(shard.failures for shard in self._shards.values())

    def free_numbers(self) -> Iterator[int]:
        return (number for number in count() if number not in self._shards)

    @property
    def gone(self) -> list[GoneRow]:
        """As the run before said."""
        return [GoneRow(*row) for row in self._end["gone"]] if self._end is not None else []

    def add(self, number: int, shard: FinishedShard) -> None:
        """Write a shard's files, then its line in the manifest. Raises CannotWrite."""
        files = tuple(
            write_file(self._folder / f"{number:05d}.{suffix}", content) for suffix, content in shard.files.items()
        )
        line = {
            "shard": number,
            "rows": shard.rows,
            "failures": shard.failures,
            "files": [list(file) for file in files],
        }
        append_line(self._manifest, orjson.dumps(line))
        self._end = None
        self._shards[number] = RecordedShard(number, shard.rows, shard.failures, files)

    def end(self, items: int, gone: Sequence[GoneRow]) -> None:
        """Write the line that ends a run, unless the last run has ended with it. Raises CannotWrite."""
        line = {"items": items, "gone": [list(row) for row in gone]}
        if line != self._end:
            append_line(self._manifest, orjson.dumps(line))
            self._end = line

    def shard(self, number: int) -> RecordedShard:
        return self._shards[number]

    def path(self, file: WrittenFile) -> Path:
        return self._folder / file.name

    def shards(self) -> list[RecordedShard]:
        """Those that are done, by number."""
        return [shard for _, shard in sorted(self._shards.items())]

    def close(self) -> None:
        self._lock.release()


def _recorded_shards(lines: Iterable[dict[str, Any]]) -> dict[int, RecordedShard]:
    """Number → shard. A shard that was made again has several lines; the last one counts."""
    return {
        line["shard"]: RecordedShard(
            line["shard"], line["rows"], line["failures"], tuple(WrittenFile(*file) for file in line["files"])
        )
        for line in lines
        if "shard" in line
    }


def _whole_lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The lines up to the first broken one, and how many bytes they take."""
    found, size = [], 0
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            if not line.endswith(b"\n"):
                break
            found.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            break
        size += len(line)
    return found, size


def _difference(was: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """The first fact that differs, in words."""
    # another version of the program may continue: the fingerprint says if it matters
    for name in sorted(set(now) - {"openclip_api"}, key=lambda name: name != "layout"):
        before, after = was.get(name), now[name]
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            inner = next(key for key in {**after, **before} if before.get(key) != after.get(key))
            before, after, name = before.get(inner), after.get(inner), f"{name} {inner}"
        if name == "layout":
            return "rows of an older version"
        return f"{name} {_shown(before)}, not {_shown(after)}"
    return None


def _shown(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
