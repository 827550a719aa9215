"""How many WORKERS there are: as many as the settings say, or as cores and memory allow."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from ..engines.cores import available_cores
from ..engines.memory import free_memory, needed_memory
from ..errors import InvalidSetting
from ..settings import Settings
from .core_shares import physical_cores

CORES_EACH = 8  # fewer lose little by sharing each pass (docs/tuning.md)
UNKNOWN_PARAMETERS = 500_000_000  # of a model that is not here yet: larger than most
SECONDS = 60


def worker_count(settings: Settings) -> int:
    """Raises InvalidSetting, and UnknownModel for a wrong model where WORKERS=auto."""
    if settings.workers == 1:
        return 1
    on_device = settings.device not in ("auto", "cpu")
    if settings.workers == "auto":
        if on_device or sys.platform == "win32":
            return 1
        cores = min(available_cores(), len(physical_cores()) or available_cores())
        if cores < 2 * CORES_EACH:
            return 1
        return most_workers(cores, free_memory(), sum(map(needed_memory, _parameters(settings))))
    if on_device:
        raise InvalidSetting(
            f"WORKERS={settings.workers} with DEVICE={settings.device}: one process keeps it busy, so set WORKERS=1"
        )
    if sys.platform == "win32":
        raise InvalidSetting(f"WORKERS={settings.workers}: on Windows there can be only one process: set WORKERS=1")
    return settings.workers


def most_workers(cores: int, free: float | None, needed: float) -> int:
    """One for each CORES_EACH cores, if so many fit into memory. free, needed: bytes, by one; None: not known."""
    return max(1, min(cores // CORES_EACH, cores if free is None else int(free // needed)))


def _parameters(settings: Settings) -> list[int]:
    """Of each model that is in memory at once. Another process looks: this one would keep what that imports."""
    found = []
    for model in settings.served_models.values():
        command = [sys.executable, "-m", "openclip_api", "info", "--json", str(model.source)]
        command += ["--cache-dir", str(settings.cache_dir)] if settings.cache_dir else []
        parameters = UNKNOWN_PARAMETERS
        with suppress(OSError, ValueError, subprocess.SubprocessError):
            told = subprocess.run(command, capture_output=True, timeout=SECONDS, check=True, cwd=Path.cwd())  # noqa: S603
            parameters = json.loads(told.stdout).get("parameters", parameters)
        found.append(parameters)
    return sorted(found)[-(settings.max_loaded_models or len(found)) :]
