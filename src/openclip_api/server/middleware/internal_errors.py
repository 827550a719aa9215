"""Errors that nothing else handles."""

from __future__ import annotations

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..context import state_of
from ..shared.answer import error_response

log = logging.getLogger("openclip_api")


class InternalErrors:
    """ASGI middleware: an error that no handler expects is logged and answered with 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        is_answered = False

        async def watched(message: Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            request_id = state_of(scope).request_id
            log.exception("request %s failed: %s", request_id, type(error).__name__)
            if is_answered:
                raise
            message = f"an error in the server; its log has more about request {request_id}"
            await error_response(scope, 500, "internal_error", message)(scope, receive, send)
        return None
