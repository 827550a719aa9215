"""uvicorn's HTTP connection, with bounds where it would wait for ever, and answers where they would be lost.

It overrides methods of a class that is no public interface: pyproject.toml allows only the versions it was tried with.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from .client_transport import LINGER_SECONDS, STOPPING_SECONDS, ClientTransport, Linger, Lingering
from .interruptible import EXTENSION, Client

HEADER_SECONDS = 10  # from connecting, or a request's first byte, to the end of its headers
MAX_HEADER_BYTES = 65_536
STALL_SECONDS = 30  # for an answer that its client does not read
FRAMING = (b"content-length", b"transfer-encoding")  # the headers that say where a body ends
FIRST_LOOK_SECONDS, LONGEST_LOOK_SECONDS = 0.005, 1  # whether a client that sends no more has left


class Connection(HttpToolsProtocol):
    """Closes a connection if its headers are slow or large, nobody reads its answer, or its refused body goes on.

    A request's answer ends the connection unless the request has come whole: what follows might be taken for the next.
    """

    def __init__(self, *, lingering: Lingering, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._lingering = lingering
        self._linger: Linger | None = None
        self._is_refused = self._is_stopping = False
        self._repeats_framing = False
        self._keep_alive = True  # of the newest request, once it has come whole

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._client = ClientTransport(transport, self._lingers)
        super().connection_made(self._client)
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        for name in list(self._timers):
            self._stop(name)
        if self._linger is not None:
            self._linger.stop()
        super().connection_lost(exc)
        if self.cycle is not None and (client := Client.of(self.cycle.scope)) is not None:
            client.on_left()

    def data_received(self, data: bytes) -> None:
        if self._linger is not None:
            self._linger.received(len(data))
            return
        self._bytes_without_body += len(data)
        try:
            self._parse(memoryview(data))
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
            return
        is_incomplete = self._in_headers or self.cycle.more_body
        if is_incomplete and self._bytes_without_body > MAX_HEADER_BYTES and not self.transport.is_closing():
            self._refuse_headers()

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more. If it asked for something it gets the answer, unless it turns out to have left."""
        waits = self.cycle is not None and not (self.cycle.response_complete or self.cycle.more_body)
        if self._linger is not None or not waits:
            return False  # this closes the connection
        self.cycle.keep_alive = False
        if not (self.pipeline or self.cycle.response_started):
            self._client.begin_answer()
        self._look_for_reset(FIRST_LOOK_SECONDS)
        return True

    def on_message_begin(self) -> None:
        if self._repeats_framing:
            return
        self._unset_keepalive_if_required()
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: Client()}  # type: ignore[dict-item]
        if not self._in_headers:
            self._expect_headers()

    def on_url(self, url: bytes) -> None:
        if not self._repeats_framing:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._repeats_framing:
            return
        self._parsed_bytes += len(name) + len(value)
        if self._parsed_bytes > MAX_HEADER_BYTES:
            raise ValueError("headers too large")  # this ends the parser
        if self._in_headers:  # else it is a trailer field, behind the body: a middleware may have read the headers
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._repeats_framing:
            self._repeats_framing = False
            return
        self._stop("headers")
        self._in_headers = False
        if self.parser.get_method() == b"CONNECT":
            raise ValueError("no proxy")  # what follows would not be HTTP
        super().on_headers_complete()
        self._keep_alive, self.cycle.keep_alive = self.cycle.keep_alive, False

    def on_body(self, body: bytes) -> None:
        self._bytes_without_body = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # the parser stops here, before the body
        super().on_message_complete()
        if not self.cycle.response_started:
            self.cycle.keep_alive = self._keep_alive and not self._is_stopping

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start("unread answer", STALL_SECONDS)

    def resume_writing(self) -> None:
        self._stop("unread answer")
        super().resume_writing()

    def shutdown(self) -> None:
        self._is_stopping = True
        if self._linger is not None:
            self._linger.end_within(STOPPING_SECONDS)
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        if max(self._parsed_bytes, self._bytes_without_body * self._in_headers) > MAX_HEADER_BYTES:
            self._refuse_headers()
        else:
            self._is_refused = True
            super().send_400_response(msg)

    def _refuse_headers(self) -> None:
        self._is_refused = True
        self.transport.write(STATUS_LINE[431] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()

    def _parse(self, data: memoryview) -> None:
        """Feed the parser.

        It stops behind the headers of a request that asks for another protocol (`Upgrade: h2c`), and takes the body
        for that protocol's. We speak no other and may ignore the wish (RFC 9110, section 7.8): a new parser reads on,
        from the headers that say where the body ends.
        """
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as stopped:
                data = data[stopped.args[0] :]
                self._start_parser_anew()
            else:
                return

    def _start_parser_anew(self) -> None:
        head = [b"POST / HTTP/", self.parser.get_http_version().encode(), b"\r\n"]
        for name, value in self.headers:
            if name in FRAMING:
                head += [name, b": ", value, b"\r\n"]
        self.parser = httptools.HttpRequestParser(self)
        # as uvicorn's own: a request behind one with `Connection: close` does not take the answer from that one
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._repeats_framing = True
        self.parser.feed_data(b"".join([*head, b"\r\n"]))

    def _lingers(self) -> bool:
        """Whether the client still sends while its answer is complete; from here on what it sends is thrown away."""
        cycle = self.cycle
        if not (self._is_refused or (cycle is not None and cycle.response_started and cycle.more_body)):
            return False
        self._stop("headers")
        if cycle is not None:
            cycle.disconnected = not cycle.response_complete
            cycle.body = bytearray()
            cycle.message_event.set()
        self._linger = self._lingering.start(self._client, STOPPING_SECONDS if self._is_stopping else LINGER_SECONDS)
        self.flow.resume_reading()
        return True

    def _look_for_reset(self, pause: float) -> None:
        """A client that has left and one that only sends no more look the same, until we send something."""

        def look() -> None:
            if self._client.was_reset():
                self._client.abort()
            else:
                self._look_for_reset(min(2 * pause, LONGEST_LOOK_SECONDS))

        self._timers["half-closed"] = self.loop.call_later(pause, look)

    def _expect_headers(self) -> None:
        self._in_headers = True
        self._bytes_without_body = self._parsed_bytes = 0
        self._start("headers", HEADER_SECONDS)

    def _start(self, timer: str, seconds: float) -> None:
        self._stop(timer)
        self._timers[timer] = self.loop.call_later(
            seconds, self.transport.abort
        )  # close() would wait for the client to read

    def _stop(self, timer: str) -> None:
        if timer in self._timers:
            self._timers.pop(timer).cancel()
