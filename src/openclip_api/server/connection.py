"""uvicorn's HTTP connection with time limits where uvicorn would wait for ever.

It overrides methods of a class that is no public interface: pyproject.toml allows only the versions it was tried with.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEADER_SECONDS = 10  # from connecting, or a request's first byte, to the end of its headers
MAX_HEADER_BYTES = 65_536
STALL_SECONDS = 30  # for an answer that its client does not read
LINGER_SECONDS = 2  # after an answer that came before the body's end: if it closed at once, the answer might be lost
LINGER_BYTES = 8_000_000


class Connection(HttpToolsProtocol):
    """Closes a connection if its headers are slow or large, nobody reads its answer, or its refused body goes on."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        for name in list(self._timers):
            self._stop(name)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_headers:
            self._header_bytes += len(data)
        super().data_received(data)
        if self._in_headers and self._header_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
            self.send_400_response("The request's headers are too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self._in_headers:
            self._expect_headers()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._parsed_bytes += len(name) + len(value)
        if self._parsed_bytes > MAX_HEADER_BYTES:
            raise ValueError("headers too large")  # this ends the parser
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._stop("headers")
        self._in_headers = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        if self.cycle.response_complete:
            self._discarded_bytes += len(body)
            if self._discarded_bytes > LINGER_BYTES:
                self.transport.abort()

    def on_message_complete(self) -> None:
        if self.cycle is not None and self.cycle.response_complete:
            self._stop("rest of body")  # the whole refused body has come: the connection can be used again
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body:
            self._start("rest of body", LINGER_SECONDS)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start("unread answer", STALL_SECONDS)

    def resume_writing(self) -> None:
        self._stop("unread answer")
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        too_large = max(self._parsed_bytes, self._header_bytes * self._in_headers) > MAX_HEADER_BYTES
        if too_large:
            self.transport.write(STATUS_LINE[431] + b"content-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()
        else:
            super().send_400_response(msg)

    def _expect_headers(self) -> None:
        self._in_headers = True
        self._header_bytes = self._parsed_bytes = self._discarded_bytes = 0
        self._start("headers", HEADER_SECONDS)

    def _start(self, timer: str, seconds: float) -> None:
        self._stop(timer)
        self._timers[timer] = self.loop.call_later(
            seconds, self.transport.abort
        )  # close() would wait for the client to read

    def _stop(self, timer: str) -> None:
        if timer in self._timers:
            self._timers.pop(timer).cancel()
