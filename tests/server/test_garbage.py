"""Full garbage collections stop all threads: in a server that runs, they must have little to walk through."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import gc, os, signal
from openclip_api.server.run import run
from openclip_api.settings import read_settings

def on_ready(url):
    print(len(gc.get_objects()))
    os.kill(os.getpid(), signal.SIGTERM)

raise SystemExit(run(read_settings(model_name="emoji", port=0), on_ready=on_ready))
"""


@pytest.mark.process
def test_a_full_collection_leaves_out_the_modules():
    """Over 100,000 objects are of the modules: each full collection took 50 ms, in which no request was served."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 30_000
