"""Checkpoints with one wrong value: each gives a model that works, or is refused in one line, soon. The seed is fixed.

FUZZ_CHECKPOINTS=3000 python -m pytest -s tests/fuzz/test_checkpoints.py    # longer; 0 for all, FUZZ_SEED for others
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

COUNT = os.environ.get("FUZZ_CHECKPOINTS", "150")
SEED = os.environ.get("FUZZ_SEED", "1")
SECONDS, MEGABYTES = 5, 1500  # of CPU for a load, of memory for all of them; 0.7 s and 280 MB were measured


@pytest.mark.process
def test_a_checkpoint_with_a_wrong_value_works_or_is_refused_in_one_line(tmp_path: Path):
    command = [sys.executable, "-m", "tests.support.load_mutants", SEED, COUNT, tmp_path]
    child = subprocess.run(command, capture_output=True, text=True, timeout=7200)
    lines = [json.loads(line) for line in child.stdout.splitlines()]
    assert child.returncode == 0, f"{lines[-1:]} ended the process: {child.stderr[-2000:]}"
    results = [line for line in lines if "begins" not in line]
    print(f"\n{len(results)} checkpoints: {Counter(line.get('refused', 'works') for line in results)}, "
          f"at most {max(line['seconds'] for line in results)} s and {results[-1]['peak_mb']} MB")  # fmt: skip
    assert not [line for line in results if "raised" in line][:5]
    for line in results:
        message = line.get("message", "")
        assert "\n" not in message
        assert len(message) < 900, line
        assert line["seconds"] < SECONDS, line
    assert results[-1]["peak_mb"] < MEGABYTES + len(results)  # glibc keeps a little of each
    assert (
        sum("works" in line for line in results) > len(results) / 20
    )  # the mutations reach further than the first check
    assert sum("refused" in line for line in results) > len(results) / 20
