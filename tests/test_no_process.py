"""The alarm that keeps `make quick` free of processes and of the network."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

from .conftest import NO_PROCESS

pytestmark = pytest.mark.process  # else the alarm would fail these tests


def connect_to_another_machine() -> None:
    with socket.socket() as client:
        client.connect(("192.0.2.1", 9))


@pytest.mark.parametrize(
    "forbidden",
    [
        lambda: subprocess.run([sys.executable, "-c", ""]),
        lambda: os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {}),
        lambda: multiprocessing.get_context("spawn").Process(target=print).start(),
        connect_to_another_machine,
    ],
    ids=["subprocess", "posix_spawn", "multiprocessing", "connection"],
)
def test_it_is_heard_even_where_the_error_is_caught(forbidden: Callable[[], object]):
    alarm = pytest.raises(AssertionError, match="without the mark `process`")
    with alarm, NO_PROCESS.watching(), contextlib.suppress(RuntimeError):
        forbidden()


def test_a_server_in_a_thread_may_be_asked():
    with socket.create_server(("127.0.0.1", 0)) as listening, NO_PROCESS.watching():
        socket.create_connection(listening.getsockname()).close()
