"""Mutated files of torch: each gives tensors or one line, soon, within a bound of memory, and nothing in them is run.

FUZZ_TORCH_FILES=100000 python -m pytest -s tests/fuzz/test_torch_files.py    # longer; FUZZ_SEED for others
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COUNT = int(os.environ.get("FUZZ_TORCH_FILES", "3000"))
SEED = os.environ.get("FUZZ_SEED", "1")


@pytest.mark.process
def test_a_mutated_file_is_read_or_refused_and_runs_nothing(tmp_path: Path):
    command = [sys.executable, "-m", "tests.support.read_mutants", SEED, str(COUNT), tmp_path]
    child = subprocess.run(command, capture_output=True, text=True, timeout=7200)
    lines = [json.loads(line) for line in child.stdout.splitlines()]
    assert child.returncode == 0, f"{lines[-1:]} ended the process ({child.returncode}): {child.stderr[-2000:]}"
    *seeds, result = lines
    print(f"\n{COUNT} files of torch: {result}")
    assert [line["seed"] for line in seeds].count("read") == len(seeds) - 1  # all but the one with a sparse tensor
    assert result["seen"]["read"] > COUNT / 20  # the mutations reach further than the first check
    assert result["seen"]["CorruptCheckpoint"] > COUNT / 20
    assert result["more_mb"] < 200


@pytest.mark.process
def test_what_runs_would_be_seen(tmp_path: Path):
    """Else the test above would prove little."""
    program = (
        "from tests.support import read_mutants as mutants; import sys, pickle; sys.addaudithook(mutants.forbid); "
        "mutants.reading = True; pickle.loads(b'cos\\nsystem\\n(S\\'true\\'\\ntR.')"
    )
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert child.returncode == 7
    assert json.loads(child.stdout)["forbidden"] == "pickle.find_class"
