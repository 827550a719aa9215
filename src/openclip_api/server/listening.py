"""The socket that the server listens on."""

from __future__ import annotations

import socket

from ..errors import InvalidSetting

BACKLOG = 2048  # connections that wait to be accepted; the system's own bound is often lower


def listen(host: str, port: int) -> socket.socket:
    """Raises InvalidSetting."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise InvalidSetting(f"cannot listen on HOST={host!r} PORT={port}: {error.strerror}") from error
    except (TypeError, ValueError) as error:
        raise InvalidSetting(f"HOST={host!r}: neither an address nor a name") from error


def url_of(listening: socket.socket) -> str:
    """The URL for a program on this machine."""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
