"""Images by URL, fetched so that a URL from a stranger reaches nothing but the public internet.

One parser serves the check and the request. A name is resolved here, each of its addresses is checked, and the
connection goes to a checked address: a name that resolves to something else a moment later changes nothing.
Redirects come through the same door. No proxy, no cookie and no password of the environment is used.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import quote, urljoin

import httpcore2

from ..errors import DeadlineExceeded, ImageUnreachable, InvalidInput, TooLarge
from .public_address import Address, is_public

Resolve = Callable[[str, int], Awaitable[list[str]]]
Take = Callable[[int], None]

PORTS = (80, 443)
MAX_REDIRECTS = 3
MAX_URL_CHARACTERS = 4096
CONCURRENT = 8  # fetches at once, of all requests
CONNECT_SECONDS = 3  # to one of several addresses
CONCURRENT_PER_HOST = 2  # so that nobody can be flooded from here

NOT_ALLOWED = "the URL's host cannot be found, or is none that images are fetched from here"
NOT_A_URL = "not a plain http or https URL"
UNREACHABLE = "the image could not be fetched"
REQUEST_HEADERS = [
    (b"Accept", b"image/*"),
    (b"Accept-Encoding", b"identity"),  # a small answer must not become a large one
    (b"Connection", b"close"),
    (b"User-Agent", b"openclip-api"),
]

_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE)
_AUTHORITY = re.compile(
    r"(?:(?P<name>[a-z0-9._-]+)|\[(?P<ipv6>[0-9a-f:.]+)\])(?::(?P<port>[0-9]{1,5}))?", re.IGNORECASE
)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class Target(NamedTuple):
    """Where a URL leads: what is checked, and exactly what is then asked for."""

    scheme: str
    host: str  # lower case; a name without the dot at its end, or an IP address
    port: int
    path: str  # with the query, percent-encoded


def parse(url: str, ports: Collection[int] = PORTS) -> Target:
    """Raises InvalidInput for anything but http(s)://host[:port][/path][?query][#ignored] on an allowed port."""
    match = _URL.fullmatch(url)
    if match is None or len(url) > MAX_URL_CHARACTERS or re.search(r"[\x00-\x20\x7f\\\ud800-\udfff]", url):
        raise InvalidInput(NOT_A_URL)
    scheme, path = match[1].lower(), match[3]
    authority = _AUTHORITY.fullmatch(match[2])  # no user, no password, no escapes, nothing beyond ASCII
    if authority is None:
        raise InvalidInput(NOT_A_URL)
    port = int(authority["port"] or {"http": 80, "https": 443}[scheme])
    if port not in ports:
        raise InvalidInput(f"the URL's port is not one of {', '.join(map(str, ports))}")
    path = quote(path, safe="%/?:@!$&'()*+,;=-._~[]|")
    return Target(scheme, _host(authority), port, path if path.startswith("/") else f"/{path}")


def _host(authority: re.Match[str]) -> str:
    try:
        if authority["ipv6"]:
            return str(ipaddress.IPv6Address(authority["ipv6"]))
        host = normal_host(authority["name"])
        labels = host.split(".")
        if _NUMBER.fullmatch(labels[-1]):  # 127.1, 0x7f000001 and 2130706433 are addresses to some programs
            return str(ipaddress.IPv4Address(host))
    except ValueError as error:
        raise InvalidInput(NOT_A_URL) from error
    if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise InvalidInput(NOT_A_URL)
    return host


def normal_host(name: str) -> str:
    return name.lower().removesuffix(".")


class ImageFetcher:
    """Fetches images from `hosts` (any public one if empty). Use it from one event loop.

    seconds: for one image, redirects and all. max_bytes: of one image. ports, resolve, is_allowed, backend and
    ssl_context say which ports may be asked, how a name becomes addresses, which addresses may be connected to,
    what connects, and which certificates count.
    """

    def __init__(
        self,
        hosts: Iterable[str] = (),
        *,
        max_bytes: int = 32_000_000,
        seconds: float = 10,
        ports: Collection[int] = PORTS,
        resolve: Resolve | None = None,
        is_allowed: Callable[[Address], bool] = is_public,
        backend: httpcore2.AsyncNetworkBackend | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._hosts = frozenset(map(normal_host, hosts))
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._ports = ports
        self._ssl_context = ssl_context
        self._backend = VettedBackend(resolve or SystemResolver(), is_allowed, backend or httpcore2.AnyIOBackend())
        self._free = asyncio.Semaphore(CONCURRENT)
        self._hosts_busy: dict[str, _Host] = {}

    async def fetch(self, url: str, take: Take = lambda count: None) -> bytes:
        """The bytes that a URL answers with; `take` is told of them as they come, and may raise.

        Raises InvalidInput (a URL or host that is not allowed), TooLarge, ImageUnreachable, DeadlineExceeded.
        """
        try:
            return await asyncio.wait_for(self._follow(url, take), self._seconds)
        except (asyncio.TimeoutError, httpcore2.TimeoutException) as error:
            raise DeadlineExceeded(f"the image was not fetched within {self._seconds:g} seconds") from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError, ssl.SSLError, OSError) as error:
            raise ImageUnreachable(UNREACHABLE) from error

    async def _follow(self, url: str, take: Take) -> bytes:
        target = self._checked(url)
        for _ in range(MAX_REDIRECTS + 1):
            async with self._place(target.host):
                answer = await self._get(target, take)
            if isinstance(answer, bytes):
                return answer
            target = self._next(target, answer)
        raise ImageUnreachable(f"{UNREACHABLE}: more than {MAX_REDIRECTS} redirects")

    def _checked(self, url: str) -> Target:
        target = parse(url, self._ports)
        if self._hosts and target.host not in self._hosts:
            raise InvalidInput(NOT_ALLOWED)
        return target

    def _next(self, target: Target, location: str) -> Target:
        host = f"[{target.host}]" if ":" in target.host else target.host
        try:
            url = urljoin(f"{target.scheme}://{host}:{target.port}{target.path}", location)
        except ValueError as error:
            raise InvalidInput(NOT_A_URL) from error
        following = self._checked(url)
        if target.scheme == "https" and following.scheme == "http":
            raise InvalidInput("the URL leads from https to http")
        return following

    @asynccontextmanager
    async def _place(self, name: str) -> AsyncIterator[None]:
        host = self._hosts_busy.setdefault(name, _Host())
        host.users += 1
        try:
            async with host.free, self._free:
                yield
        finally:
            host.users -= 1
            if not host.users:
                del self._hosts_busy[name]

    async def _get(self, target: Target, take: Take) -> bytes | str:
        """The body, or where a redirect leads."""
        url = httpcore2.URL(
            scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path.encode()
        )
        async with (
            httpcore2.AsyncConnectionPool(ssl_context=self._ssl_context, network_backend=self._backend) as pool,
            pool.stream("GET", url, headers=REQUEST_HEADERS) as response,
        ):
            headers = {name.lower(): value for name, value in response.headers}
            if response.status in (301, 302, 303, 307, 308) and b"location" in headers:
                return headers[b"location"].decode(errors="replace")
            if response.status != 200:
                raise ImageUnreachable(f"{UNREACHABLE}: its host answers with status {response.status}")
            if headers.get(b"content-encoding", b"identity").lower() != b"identity":
                raise ImageUnreachable(f"{UNREACHABLE}: its host sends it compressed")
            return await self._body(response, headers.get(b"content-length", b""), take)

    async def _body(self, response: httpcore2.Response, declared: bytes, take: Take) -> bytes:
        body = bytearray()
        self._check_size(int(declared) if declared.isdigit() and len(declared) < 20 else 0)
        async for part in response.aiter_stream():
            self._check_size(len(body) + len(part))
            take(len(part))
            body += part
        return bytes(body)

    def _check_size(self, count: int) -> None:
        if count > self._max_bytes:
            raise TooLarge(f"the image is larger than {self._max_bytes / 1e6:g} MB")


@dataclass
class _Host:
    free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONCURRENT_PER_HOST))
    users: int = 0


class VettedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to a host only where all its addresses are allowed, and then to one of just these."""

    def __init__(
        self, resolve: Resolve, is_allowed: Callable[[Address], bool], connector: httpcore2.AsyncNetworkBackend
    ) -> None:
        self._resolve, self._is_allowed, self._connector = resolve, is_allowed, connector

    async def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> httpcore2.AsyncNetworkStream:
        addresses = await self._addresses(host, port)
        if not addresses or not all(map(self._is_allowed, addresses)):
            raise InvalidInput(NOT_ALLOWED)
        for address in addresses[:-1]:
            try:
                return await self._connector.connect_tcp(str(address), port, CONNECT_SECONDS)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._connector.connect_tcp(str(addresses[-1]), port)

    async def _addresses(self, host: str, port: int) -> list[Address]:
        try:
            return [ipaddress.ip_address(host)]
        except ValueError:
            pass
        try:
            return [ipaddress.ip_address(address) for address in await self._resolve(host, port)]
        except (OSError, ValueError):  # not found, told as what may not be found
            return []


class SystemResolver:
    """The operating system's resolver, in threads of its own: names that hang keep nothing else waiting."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(CONCURRENT, thread_name_prefix="resolve")

    async def __call__(self, host: str, port: int) -> list[str]:
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [str(address[0]) for *_, address in found]
