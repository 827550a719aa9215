"""A request body may not be larger than a limit, whatever its headers say."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import TooLarge


class BodyLimit:
    """ASGI middleware: reading a body raises TooLarge as soon as it is, or declares to be, over max_bytes."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = dict(scope["headers"])
        declared = headers.get(b"content-length", b"")
        read = 0

        async def limited() -> Message:
            nonlocal read
            if declared.isdigit() and int(declared) > self._max_bytes:
                raise self._too_large()
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._max_bytes:
                raise self._too_large()
            return message

        return await self._app(scope, limited, send)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the body is larger than {self._max_bytes / 1e6:g} MB", "body")
