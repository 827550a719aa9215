"""Images by URL, fetched so that a URL from a stranger reaches nothing but the public internet.

One parser serves the check and the request (url.py). A name is resolved once, each of its addresses is checked, and
the connection goes to a checked address (network.py): it does not matter what the name resolves to a moment later.
Each redirect passes the same checks. No proxy, cookie or password of the environment is used.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urljoin

import anyio
import httpcore2

from ..errors import DeadlineExceeded, ImageUnreachable, InvalidInput, TooLarge
from .network import NOT_ALLOWED, CheckedNetwork, Resolve, SystemResolver
from .public_address import Address, is_public
from .url import NOT_A_URL, PORTS, Endpoint, Target, normal_host, parse

Reserve = Callable[[int], None]

MAX_REDIRECTS = 3
CONCURRENT = 8  # fetches at once, of all requests
CONCURRENT_PER_HOST = 2  # so that no host is flooded from here

UNREACHABLE = "the image could not be fetched"
REQUEST_HEADERS = [
    (b"Accept", b"image/*"),
    (b"Accept-Encoding", b"identity"),  # a small compressed answer may unpack to a huge one
    (b"Connection", b"close"),
    (b"User-Agent", b"openclip-api"),
]


class ImageFetcher:
    """Fetches images from `hosts`, or from any public host if there are none. Use it from one event loop.

    max_bytes: of one image. seconds: for one image with its redirects. ports: those that a URL may name.
    private: hosts of one's own network, with ports, that images may come from too; each redirect is checked anew.
    resolve: (host, port) → addresses. is_allowed: which addresses may be connected to. backend: what connects.
    ssl_context: which certificates are trusted.
    """

    def __init__(
        self,
        hosts: Iterable[str] = (),
        *,
        max_bytes: int = 32_000_000,
        seconds: float = 10,
        ports: Collection[int] = PORTS,
        private: Iterable[Endpoint] = (),
        resolve: Resolve | None = None,
        is_allowed: Callable[[Address], bool] = is_public,
        backend: httpcore2.AsyncNetworkBackend | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._hosts = frozenset(map(normal_host, hosts))
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._ports = ports
        self._private = frozenset(private)
        self._ssl_context = ssl_context
        self._network = CheckedNetwork(
            resolve or SystemResolver(CONCURRENT), is_allowed, backend or httpcore2.AnyIOBackend(), self._private
        )
        self._slots = asyncio.Semaphore(CONCURRENT)
        self._host_slots: dict[str, _HostSlots] = {}

    async def fetch(self, url: str, reserve: Reserve = lambda count: None) -> bytes:
        """The image's bytes. As they arrive, `reserve` is called with how many came; it may raise to end the fetch.

        Raises InvalidInput (a URL or host that is not allowed), TooLarge, ImageUnreachable, DeadlineExceeded.
        """
        try:
            with anyio.fail_after(self._seconds):
                return await self._follow(url, reserve)
        except (TimeoutError, httpcore2.TimeoutException) as error:
            raise DeadlineExceeded(f"the image was not fetched within {self._seconds:g} seconds") from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError, ssl.SSLError, OSError) as error:
            raise ImageUnreachable(UNREACHABLE) from error

    async def _follow(self, url: str, reserve: Reserve) -> bytes:
        target = self._checked(url)
        for _ in range(MAX_REDIRECTS + 1):
            async with self._slot(target.host):
                answer = await self._get(target, reserve)
            if isinstance(answer, bytes):
                return answer
            target = self._redirected(target, answer)
        raise ImageUnreachable(f"{UNREACHABLE}: more than {MAX_REDIRECTS} redirects")

    def _checked(self, url: str) -> Target:
        target = parse(url, self._ports, self._private)
        if self._hosts and target.host not in self._hosts and (target.host, target.port) not in self._private:
            raise InvalidInput(NOT_ALLOWED)
        return target

    def _redirected(self, target: Target, location: str) -> Target:
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
    async def _slot(self, name: str) -> AsyncIterator[None]:
        """Wait until a fetch from this host may begin."""
        host = self._host_slots.setdefault(name, _HostSlots())
        host.users += 1
        try:
            async with host.slots, self._slots:
                yield
        finally:
            host.users -= 1
            if not host.users:
                del self._host_slots[name]

    async def _get(self, target: Target, reserve: Reserve) -> bytes | str:
        """The body, or as a str where a redirect leads."""
        url = httpcore2.URL(
            scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path.encode()
        )
        async with (
            httpcore2.AsyncConnectionPool(ssl_context=self._ssl_context, network_backend=self._network) as pool,
            pool.stream("GET", url, headers=REQUEST_HEADERS) as response,
        ):
            headers = {name.lower(): value for name, value in response.headers}
            if response.status in (301, 302, 303, 307, 308) and b"location" in headers:
                return headers[b"location"].decode(errors="replace")
            if response.status != 200:
                raise ImageUnreachable(f"{UNREACHABLE}: its host answers with status {response.status}")
            if headers.get(b"content-encoding", b"identity").lower() != b"identity":
                raise ImageUnreachable(f"{UNREACHABLE}: its host sends it compressed")
            return await self._body(response, headers.get(b"content-length", b""), reserve)

    async def _body(self, response: httpcore2.Response, declared: bytes, reserve: Reserve) -> bytes:
        body = bytearray()
        self._check_size(int(declared) if declared.isdigit() and len(declared) < 20 else 0)
        async for part in response.aiter_stream():
            self._check_size(len(body) + len(part))
            reserve(len(part))
            body += part
        return bytes(body)

    def _check_size(self, count: int) -> None:
        if count > self._max_bytes:
            raise TooLarge(f"the image is larger than {self._max_bytes / 1e6:g} MB")


@dataclass
class _HostSlots:
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONCURRENT_PER_HOST))
    users: int = 0
