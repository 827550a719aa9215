"""Starts in processes of their own, with an environment of the test's own."""

from __future__ import annotations

import multiprocessing
import os
import traceback
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from . import start as start_module

OURS = ("HF_", "HUGGING", "XDG_", "MODEL_", "CACHE_DIR", "TEST_", "HOME")

# What takes long to import and reads no setting of these tests is imported once, in the process that
# all starts are forked from: a start then costs a fifth of a second instead of a whole one.
PRELOADED = ["numpy", "safetensors.numpy", "httpx2", "tqdm.auto", "yaml", "openvino", "PIL.Image", "tokenizers", "ftfy"]
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(PRELOADED)


def environment(home: Path | None, **settings: object) -> dict[str, str]:
    """This process's environment without what a developer may have set; a HOME of the test's own."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
    inherited = {key: value for key, value in inherited.items() if not key.lower().endswith("_proxy")}
    ours = {"HF_HUB_DISABLE_TELEMETRY": "1", **({"HOME": home} if home else {}), **settings}
    return inherited | {key: str(value) for key, value in ours.items()}


class Start:
    """A start that has begun."""

    def __init__(self, home: Path | None, *arguments: str, **settings: object) -> None:
        self._answer, theirs = CONTEXT.Pipe(duplex=False)
        arguments_ = (theirs, environment(home, **settings), arguments)
        self._process = CONTEXT.Process(target=_run, args=arguments_, daemon=True)
        self._process.start()
        theirs.close()

    def result(self, timeout: float = 60) -> dict[str, Any]:
        """What it came to; an error must be one line."""
        try:
            assert self._answer.poll(timeout), f"no answer within {timeout} s"
            result: dict[str, Any] = self._answer.recv()
        finally:
            self._answer.close()
            self._process.kill()
            self._process.join()
            self._process.close()
        assert "\n" not in result.get("message", "")
        return result


def start(home: Path | None, *arguments: str, **settings: object) -> dict[str, Any]:
    result = Start(home, *arguments, **settings).result()
    assert "crash" not in result, result["crash"]
    return result


def _run(answer: Connection, environment: dict[str, str], arguments: tuple[str, ...]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the library tells of its retries there
    warnings.simplefilter("error")
    try:
        answer.send(start_module.start(*arguments))
    except BaseException:
        answer.send({"crash": traceback.format_exc()})
