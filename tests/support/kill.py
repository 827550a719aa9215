"""Kills a process at a moment that depends on what it has written, so on any machine, busy or not."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable

POLL_SECONDS = 0.002
START_SECONDS = 1.0
WITHIN_SECONDS = 0.03


def kill_after_writes(
    process: subprocess.Popen[str], written: Callable[[], int], draw: random.Random, most: int
) -> None:
    """SIGKILL once there are some more files than now, of which `most` is the largest number, or while it starts.

    A little later than the last of them appears: within the next write. Does nothing where the process ends before.
    """
    more = draw.randint(0, most)
    wanted = written() + more
    if more == 0:
        time.sleep(draw.uniform(0, START_SECONDS))
    while process.poll() is None and written() < wanted:
        time.sleep(POLL_SECONDS)
    if more:
        time.sleep(draw.uniform(0, WITHIN_SECONDS))
    process.kill()
