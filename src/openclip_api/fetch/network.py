"""Resolve a name, check each of its addresses, connect to one of just these."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpcore2

from ..errors import InvalidInput
from .host_names import address_of
from .public_address import Address, is_own
from .url import Endpoint

Resolve = Callable[[str, int], Awaitable[list[str]]]

CONNECT_SECONDS = 3  # to an address that is not the last one
NOT_ALLOWED = "the URL's host cannot be found, or the server may not fetch images from it"


class CheckedNetwork(httpcore2.AsyncNetworkBackend):
    """Connects to a host only if all its addresses are allowed, and then to one of these, without a second look-up.

    private: hosts and ports that may have addresses of one's own network too.
    """

    def __init__(
        self,
        resolve: Resolve,
        is_allowed: Callable[[Address], bool],
        backend: httpcore2.AsyncNetworkBackend,
        private: Collection[Endpoint] = (),
    ) -> None:
        self._resolve, self._is_allowed, self._backend = resolve, is_allowed, backend
        self._private = private

    async def connect_tcp(self, host: str, port: int, *_: object, **__: object) -> httpcore2.AsyncNetworkStream:
        """Raises InvalidInput for a host that is not found or not allowed. Ignores httpcore2's own options."""
        addresses = await self._addresses(host, port)
        is_allowed = partial(is_own, host) if (host, port) in self._private else self._is_allowed
        if not addresses or not all(map(is_allowed, addresses)):
            raise InvalidInput(NOT_ALLOWED)
        for address in addresses[:-1]:
            try:
                return await self._backend.connect_tcp(str(address), port, CONNECT_SECONDS)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._backend.connect_tcp(str(addresses[-1]), port)

    async def _addresses(self, host: str, port: int) -> list[Address]:
        if (own := address_of(host)) is not None:
            return [own]
        try:
            return [ipaddress.ip_address(address) for address in await self._resolve(host, port)]
        except (
            OSError,
            ValueError,
        ):  # no such name: answered as a forbidden one, so that nobody learns which names exist
            return []


class SystemResolver:
    """The operating system's resolver, in threads of its own: a look-up that hangs delays other look-ups alone."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="resolve")

    async def __call__(self, host: str, port: int) -> list[str]:
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [str(address[0]) for *_, address in found]
