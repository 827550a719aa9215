"""OUT/manifest.jsonl: what this run is, then a line for each shard that is done.

Only what a line names counts, and only while its files are what the line says: a shard that was renamed but
not recorded is done again over itself, a half line is cut off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from filelock import FileLock, Timeout

from ..errors import CannotWrite, OtherRun
from .durable import TEMPORARY, Written, append_line, cut, is_whole, write_file

MANIFEST = "manifest.jsonl"


@dataclass(frozen=True)
class Shard:
    shard: int
    rows: int
    failures: int
    files: tuple[Written, ...]


class Ledger:
    """The folder of one run, locked until closed. Raises OtherRun, CannotWrite.

    folder: below it, of the shards' files.
    run: what must be the same for a run to be gone on with, as JSON values; see `_difference`.
    """

    def __init__(self, out: Path, folder: str, run: Mapping[str, Any]) -> None:
        self._out = out
        self._folder = out / folder
        self._manifest = out / MANIFEST
        self._shards: dict[int, Shard] = {}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(out / ".lock")
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise OtherRun(f"{out}: another run is writing here") from error
        except OSError as error:
            raise CannotWrite(f"{out}: {error.strerror}") from error
        try:
            self._open(run)
        except BaseException:
            self._lock.release()
            raise

    def _open(self, run: Mapping[str, Any]) -> None:
        for folder in (self._out, self._folder):
            for left in folder.glob(f"*{TEMPORARY}"):
                left.unlink()
        if not self._manifest.exists():
            self._refuse_strangers()
            write_file(self._manifest, orjson.dumps(run) + b"\n")
        lines, size = _whole_lines(self._manifest)
        if size < self._manifest.stat().st_size:
            cut(self._manifest, size)
        if not lines:
            raise OtherRun(f"{self._manifest}: does not say what run this is; take another folder")
        if difference := _difference(lines[0], run):
            raise OtherRun(f"{self._out} holds a run with {difference}; take another folder, or what it was begun with")
        for line in lines[1:]:
            shard = Shard(
                line["shard"], line["rows"], line["failures"], tuple(Written(*file) for file in line["files"])
            )
            self._shards[shard.shard] = shard
        broken = [number for number, shard in self._shards.items() if not self._is_whole(shard)]
        for number in broken:
            del self._shards[number]

    def _refuse_strangers(self) -> None:
        """Without a manifest there is no run here, so nothing may be overwritten."""
        found = [path.name for path in (*self._out.iterdir(), *self._folder.iterdir())]
        if strangers := sorted(set(found) - {self._folder.relative_to(self._out).parts[0], ".lock"}):
            raise OtherRun(f"{self._out}: holds {strangers[0]!r} and no {MANIFEST}; take an empty folder")

    def _is_whole(self, shard: Shard) -> bool:
        return all(is_whole(self._folder / file.name, file) for file in shard.files)

    def __contains__(self, number: int) -> bool:
        return number in self._shards

    @property
    def rows(self) -> int:
        return sum(shard.rows for shard in self._shards.values())

    @property
    def failures(self) -> int:
        return sum(shard.failures for shard in self._shards.values())

    def add(self, number: int, rows: int, failures: int, files: Mapping[str, bytes]) -> None:
        """Write a shard's files (suffix → content), then its line. Raises CannotWrite."""
        written = tuple(
            write_file(self._folder / f"{number:05d}.{suffix}", content) for suffix, content in files.items()
        )
        line = {"shard": number, "rows": rows, "failures": failures, "files": [list(file) for file in written]}
        append_line(self._manifest, orjson.dumps(line))
        self._shards[number] = Shard(number, rows, failures, written)

    def path(self, file: Written) -> Path:
        return self._folder / file.name

    def shards(self) -> Iterator[Shard]:
        """Those that are done, in the sources' order."""
        return (shard for _, shard in sorted(self._shards.items()))

    def close(self) -> None:
        self._lock.release()


def _whole_lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The lines up to the first that is broken, and how many bytes they take."""
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
    """The first thing that is not the same, in words."""
    for name in sorted(set(now) - {"openclip_api"}):  # the program's version may change, the fingerprint tells more
        before, after = was.get(name), now[name]
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            inner = next(key for key in after if before.get(key) != after[key])
            before, after, name = before.get(inner), after[inner], f"{name} {inner}"
        if name == "source sha256":
            return "a source that has changed since: as many items, but their names, sizes, times or contents differ"
        return f"{name} {_shown(before)}, not {_shown(after)}"
    return None


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
