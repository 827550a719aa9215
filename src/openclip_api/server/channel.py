"""Between the supervisor and a worker: one socket, messages of one byte, which may bring open descriptors along."""

from __future__ import annotations

import pickle
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal, NamedTuple

from ..settings import Settings

Message = Literal[b"ready", b"figures", b"stop", b"hurry"]
MESSAGES: tuple[Message, ...] = (b"ready", b"figures", b"stop", b"hurry")
MOST_FDS = 128  # Linux takes 253
HANGING = 70  # the exit code of a worker whose engine hangs: EX_SOFTWARE of sysexits.h
LENGTH = struct.Struct("<I")


class Start(NamedTuple):
    """What a worker is told first.

    takes_requests_at_once: it answers while it loads, as a server without workers does; else only from then on.
    cpus: to run on; empty: on any.
    """

    settings: Settings
    number: int
    workers: int
    models: int
    takes_requests_at_once: bool
    cpus: tuple[int, ...]


def send_start(channel: socket.socket, start: Start, listening: int, table: int) -> None:
    """Raises OSError if the worker has ended."""
    data = pickle.dumps(start)
    socket.send_fds(channel, [LENGTH.pack(len(data))], [listening, table])
    channel.sendall(data)


def receive_start(channel: socket.socket) -> tuple[Start, int, int]:
    """What send_start has sent. Raises ConnectionError if the supervisor has ended."""
    header, fds, *_ = socket.recv_fds(channel, LENGTH.size, 2)
    count = LENGTH.unpack(header)[0] if header else 1
    data = channel.recv(count, socket.MSG_WAITALL)
    if len(data) < count:
        raise ConnectionError
    listening, table = fds
    start: Start = pickle.loads(data)  # noqa: S301  # of the process that has started this one
    return start, listening, table


def send(channel: socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    """Nothing happens if the other side has ended, or has long read nothing."""
    with suppress(OSError):
        socket.send_fds(channel, [bytes([MESSAGES.index(message)])], fds, socket.MSG_DONTWAIT)


def receive(channel: socket.socket) -> tuple[Message | None, list[int]]:
    """The message, and descriptors that are now this process's to close. None: the other side has ended."""
    try:
        data, fds, *_ = socket.recv_fds(channel, 1, MOST_FDS)
    except ConnectionError:  # it ended before it had read everything
        return None, []
    return MESSAGES[data[0]] if data else None, fds
