"""An open-loop client: requests leave on a fixed schedule whether or not answers come, and their time counts from
the schedule, so that a server that stalls cannot hide it (coordinated omission)."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np

from ..support.server_process import ServerProcess

CLIENT_SECONDS = 30
IDLE_SECONDS = 3


@dataclass
class Outcome:
    """What a load met: seconds from the schedule to the answer, by status; 0 stands for a connection that broke."""

    seconds: float
    took: dict[int, list[float]] = field(default_factory=dict)
    wrong: int = 0  # answers whose vector is another text's

    def add(self, status: int, seconds: float) -> None:
        self.took.setdefault(status, []).append(seconds)

    @property
    def counts(self) -> Counter[int]:
        return Counter({status: len(times) for status, times in self.took.items()})

    @property
    def goodput(self) -> float:
        """Good answers a second."""
        return self.counts[200] / self.seconds

    def quantile(self, status: int, share: float) -> float:
        return float(np.quantile(self.took.get(status) or [np.nan], share))


class Client:
    """Keep-alive connections to one server, as many as are needed at once."""

    def __init__(self, server: ServerProcess) -> None:
        url = urlsplit(str(server.http.base_url))
        self._address = (url.hostname, url.port)
        self._idle: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Status and body; status 0 where the connection breaks."""
        try:
            return await asyncio.wait_for(self._send(request), CLIENT_SECONDS)
        except (OSError, EOFError, asyncio.TimeoutError):
            return 0, b""

    async def leave_early(self, request: bytes, after: float) -> None:
        _, writer = await asyncio.open_connection(*self._address)
        writer.write(request)
        await asyncio.sleep(after)
        writer.close()

    async def _send(self, request: bytes) -> tuple[int, bytes]:
        reader, writer = await self._connection()
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
            body = await reader.readexactly(int(headers[b"content-length"]))
        except BaseException:
            writer.close()
            raise
        if headers.get(b"connection") == b"close":
            writer.close()
        else:
            self._idle.append((time.monotonic(), reader, writer))
        return int(head.split(b" ", 2)[1]), body

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """One that was idle for less than the server keeps it, else a new one."""
        while self._idle:
            since, reader, writer = self._idle.pop()
            if time.monotonic() - since < IDLE_SECONDS:
                return reader, writer
            writer.close()
        return await asyncio.open_connection(*self._address)

    def close(self) -> None:
        for _, _, writer in self._idle:
            writer.close()


def post(body: object, path: str = "/embeddings") -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


def run_load(
    server: ServerProcess, rate: float, seconds: float, vector_of: Callable[[str], list[float]] | None = None
) -> Outcome:
    """`rate` texts a second, each its own; `vector_of` tells what each must be answered with."""

    async def one(client: Client, outcome: Outcome, number: int, due: float) -> None:
        await asyncio.sleep(due - time.perf_counter())
        text = f"{number} apples"
        status, body = await client.send(post({"text": text}))
        outcome.add(status, time.perf_counter() - due)
        if status == 200 and vector_of is not None:
            outcome.wrong += json.loads(body)["embeddings"] != [vector_of(text)]

    async def run() -> Outcome:
        client, outcome = Client(server), Outcome(seconds)
        start = time.perf_counter() + 0.2
        tasks = []
        for number in range(int(rate * seconds)):
            due = start + number / rate
            await asyncio.sleep(max(0, due - 1 - time.perf_counter()))  # not all tasks at once
            tasks.append(asyncio.ensure_future(one(client, outcome, number, due)))
        await asyncio.gather(*tasks)
        client.close()
        return outcome

    return asyncio.run(run())
