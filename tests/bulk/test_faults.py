"""A run that is killed, or finds no space: the same command continues it, and the rows equal an unbroken run's."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from openclip_api.errors import CannotWrite

from ..support.embed_process import SHARD, finish, kill_until_done, readable_shards, same_rows, start, write_collection
from .conftest import Embed


@contextmanager
def nth_call_fails(monkeypatch: pytest.MonkeyPatch, nth: int, code: int) -> Iterator[list[str]]:
    """The nth write, sync, rename or truncation fails; a write that fails has written half of its bytes."""
    calls: list[str] = []

    def failing(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            calls.append(name)
            if len(calls) == nth:
                if name == "write":
                    call(arguments[0], arguments[1][: len(arguments[1]) // 2])
                raise OSError(code, os.strerror(code))
            return call(*arguments)

        return wrapped

    with monkeypatch.context() as patch:
        for name in ("write", "fsync", "replace", "truncate"):
            patch.setattr(os, name, failing(name, getattr(os, name)))
        yield calls


PARQUET = 4 + 3 * 6 + 4 + 4 + 2  # manifest, shards with their lines, failures, what is gone, the line that ends the run
LANCE = PARQUET + 6  # Lance's transaction, manifest and version hint, and three folders


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "writes", "code"),
    [("parquet", PARQUET, errno.ENOSPC), ("parquet", PARQUET, errno.EIO), ("lance", LANCE, errno.ENOSPC)],
)
def test_every_write_may_fail(
    tmp_path: Path, run: Embed, monkeypatch: pytest.MonkeyPatch, format: str, writes: int, code: int
):
    source = write_collection(tmp_path / "images", 25)
    options = (*SHARD, "--format", format)
    run(source, "--out", tmp_path / "whole", *options)
    for nth in range(1, 1000):
        out = tmp_path / str(nth)
        with nth_call_fails(monkeypatch, nth, code) as calls:
            try:
                assert run(source, "--out", out, *options) == 3
            except CannotWrite as error:
                assert os.strerror(code) in str(error)  # noqa: PT017
        if len(calls) < nth:
            break
        readable_shards(out)
        assert run(source, "--out", out, *options) == 3
        same_rows(out, tmp_path / "whole")
    assert nth == len(calls) + 1 == writes + 1


def test_a_broken_resume_can_be_resumed(tmp_path: Path, run: Embed, monkeypatch: pytest.MonkeyPatch):
    source = write_collection(tmp_path / "images", 25)
    run(source, "--out", tmp_path / "whole", *SHARD)
    for _ in range(40):  # each try gets one call further than it would from nothing
        with nth_call_fails(monkeypatch, 8, errno.ENOSPC) as calls:
            try:
                run(source, "--out", tmp_path / "out", *SHARD)
            except CannotWrite:
                assert len(calls) == 8
            else:
                break
    same_rows(tmp_path / "out", tmp_path / "whole")


@pytest.mark.process
def test_a_full_disk_is_one_line_and_an_exit_code(tmp_path: Path, run: Embed):
    source = write_collection(tmp_path / "images", 25)
    run(source, "--out", tmp_path / "whole", *SHARD)

    code, stderr = finish(start(source, "--out", tmp_path / "out", *SHARD, "--progress", "quiet", largest_file=5000))
    assert code == 1
    assert stderr == (
        f"openclip-api: {tmp_path}/out/vectors/00000.parquet: File too large; run the same command again to continue\n"
    )
    code, stderr = finish(start(source, "--out", tmp_path / "out", *SHARD, "--progress", "json"))
    assert code == 3
    assert json.loads(stderr.splitlines()[-1])["event"] == "done"
    same_rows(tmp_path / "out", tmp_path / "whole")


@pytest.mark.process
@pytest.mark.parametrize("format", ["parquet", "lance"])
def test_killed_a_few_times(tmp_path: Path, run: Embed, monkeypatch: pytest.MonkeyPatch, format: str):
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # a kill may leave a part of a Lance shard there
    kill_until_done(tmp_path, run, images=60, kills=4, seed=1, format=format)


@pytest.mark.process
def test_ctrl_c_ends_it_at_once_and_it_goes_on(tmp_path: Path, run: Embed):
    source = tmp_path / "t.txt"
    source.write_text("\n".join(f"text {n}" for n in range(20_000)))
    process = start(source, "--out", tmp_path / "out", "--shard-rows", 50, "--progress", "quiet")
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "out").glob("vectors/*.parquet"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    code, stderr = finish(process, timeout=30)
    assert (code, stderr) == (130, "openclip-api: interrupted; run the same command again to continue\n")


@pytest.mark.process
def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "pyarrow.py").write_text("raise ModuleNotFoundError(\"No module named 'pyarrow'\", name='pyarrow')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    code, stderr = finish(start("x.txt", "--out", tmp_path / "out"))
    assert (code, stderr) == (1, "openclip-api: embed needs pyarrow: pip install 'openclip-api[bulk]'\n")
