"""A small hub that speaks enough of the Hugging Face protocol for the real huggingface_hub, with faults to switch on.

>>> with Hub({"org/repo": {"open_clip_model.safetensors": Path("weights.safetensors")}}) as hub:
...     hub.fault = Cut(after=1000, times=1)
...     environment = {"HF_ENDPOINT": hub.url, "HF_HOME": "/empty/folder"}
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import struct
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from .hub_faults import Altered, Cut, Fault, Hang, Portal, Slow, Status, WrongSize

Content = bytes | Path

CONTENT = re.compile(r"/content/(?P<digest>[0-9a-f]{64})(\?.*)?")
CACHED = re.compile(r"/api/resolve-cache/models/(?P<repo>[^/]+/[^/]+)/(?P<revision>[^/]+)/(?P<file>[^?]+)(\?.*)?")
RESOLVE = re.compile(r"/(?P<repo>.+?)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
API = re.compile(r"/api/models/(?P<repo>.+?)(/(?P<kind>revision|tree)/(?P<revision>[^/?]+))?(\?.*)?")
COMMIT = re.compile("[0-9a-f]{40}")
BLOCK = 1 << 16


@dataclass
class Request:
    method: str
    path: str
    range: str | None
    status: int = 0
    sent: int = 0


class Hub:
    """repos: {"org/name": {"file": bytes or a path}}; may be changed while the hub runs, which makes a new commit."""

    def __init__(self, repos: dict[str, dict[str, Content]], *, port: int = 0) -> None:
        self.repos = repos
        self.fault: Fault | None = None
        self.gated: set[str] = set()
        self.not_granted: set[str] = set()  # gated, and the token's owner has not accepted the terms
        self.renamed: dict[str, str] = {}  # old name → new name
        # As huggingface.co: large files come from a content network on another host, small ones from a cache.
        self.redirects = False
        self.ranges = True  # False: the Range header is ignored, and a file is sent whole
        self.token = "hf_valid"
        self.revisions = {"main"}
        self.xet: str | None = None  # address of a Xet storage that large files are said to be in
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self._digests: dict[tuple[Path, int, int], str] = {}
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.hub = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Hub:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()

    @property
    def content_network(self) -> str:
        """The same server under another host's name."""
        return f"http://localhost:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def downloads(self, file: str = "") -> list[Request]:
        """The GET requests for files whose path ends with `file`."""
        return [r for r in self.requests if r.method == "GET" and "/resolve/" in r.path and r.path.endswith(file)]

    def commit(self, repo: str) -> str:
        facts = sorted((name, self.sha256(content)) for name, content in self.repos[repo].items())
        return hashlib.sha1(json.dumps(facts).encode()).hexdigest()

    def sha256(self, content: Content) -> str:
        if isinstance(content, bytes):
            return hashlib.sha256(content).hexdigest()
        stat = content.stat()
        key = (content, stat.st_size, stat.st_mtime_ns)
        if key not in self._digests:
            with content.open("rb") as file:
                digest = hashlib.sha256()
                while block := file.read(1 << 20):
                    digest.update(block)
            self._digests[key] = digest.hexdigest()
        return self._digests[key]

    def strike(self, method: str, path: str) -> Fault | None:
        """The fault that this request meets; counts it down."""
        with self._lock:
            fault = self.fault
            if fault is None or not path.endswith(fault.file) or fault.times == 0:
                return None
            # What happens to a body does not happen to a HEAD request, which has none.
            if method == "HEAD" and (isinstance(fault, (Cut, Slow)) or (isinstance(fault, Hang) and fault.after)):
                return None
            if isinstance(fault, Status) and fault.method not in (None, method):
                return None
            if fault.times is not None:
                fault.times -= 1
            return fault


class _Server(ThreadingHTTPServer):
    hub: Hub
    request_queue_size = 64

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self._open: set[socket.socket] = set()

    def process_request(self, request: socket.socket, address: object) -> None:
        self._open.add(request)
        super().process_request(request, address)

    def shutdown_request(self, request: socket.socket) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: object, address: object) -> None:
        """A client that goes away is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub = self.server.hub
        path = unquote(self.path)
        self.log = Request(self.command, path, self.headers.get("Range"))
        hub.requests.append(self.log)
        fault = hub.strike(self.command, path)
        if isinstance(fault, Hang) and fault.after is None:
            hub.closing.wait()
            self.close_connection = True
        elif isinstance(fault, Portal):
            self._send(200, b"<!doctype html><title>Log in</title>", {"Content-Type": "text/html"})
        elif isinstance(fault, Status):
            self._send(fault.code, b"", fault.headers)
        elif path == "/xet-token" and hub.xet:
            token = {"X-Xet-Access-Token": "token", "X-Xet-Token-Expiration": str(int(time.time()) + 3600)}
            self._send(200, b"", {"X-Xet-Cas-Url": hub.xet, **token})
        elif match := CONTENT.fullmatch(path):
            self._content_network(match["digest"])
        elif match := CACHED.fullmatch(path):
            self._resolve(match["repo"], match["revision"], match["file"], fault, cached=True)
        elif match := API.fullmatch(path):
            self._api(match["repo"], match["kind"], match["revision"] or "main")
        elif match := RESOLVE.fullmatch(path):
            self._resolve(match["repo"], match["revision"], match["file"], fault)
        else:
            self._send(404, b"no such page")

    def _api(self, repo: str, kind: str | None, revision: str) -> None:
        if self._refuse(repo, revision):
            return
        hub, files = self.server.hub, self.server.hub.repos[repo]
        if kind == "tree":
            answer: object = [
                {"type": "file", "path": name, "size": _size(content), "oid": hub.sha256(content)[:40]}
                for name, content in files.items()
            ]
        else:
            siblings = [{"rfilename": name} for name in files]
            answer = {"id": repo, "modelId": repo, "sha": hub.commit(repo), "siblings": siblings, "tags": []}
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _content_network(self, digest: str) -> None:
        """Another host: it knows no repositories, and a token must not reach it."""
        if self.headers.get("Authorization"):
            self._send(400, b"a token for another host")
            return
        contents = [content for files in self.server.hub.repos.values() for content in files.values()]
        content = next(content for content in contents if self.server.hub.sha256(content) == digest)
        self._file(content, {"ETag": f'"{digest[:32]}"', "Accept-Ranges": "bytes"}, None)

    def _redirect(self, status: int, location: str, headers: dict[str, str]) -> None:
        self._send(status, b"", {**headers, "Location": location})

    def _resolve(self, repo: str, revision: str, file: str, fault: Fault | None, *, cached: bool = False) -> None:
        hub = self.server.hub
        if repo in hub.renamed:
            self._redirect(307, f"/{hub.renamed[repo]}/resolve/{revision}/{file}", {})
            return
        if self._refuse(repo, revision):
            return
        headers = {"X-Repo-Commit": revision if COMMIT.fullmatch(revision) else hub.commit(repo)}
        content = hub.repos[repo].get(file)
        if content is None:
            self._send(404, b"Entry not found", {**headers, "X-Error-Code": "EntryNotFound"})
            return
        digest = hub.sha256(content)
        if isinstance(fault, Altered):
            content = fault.change(content if isinstance(content, bytes) else content.read_bytes())
        size = _size(content)
        headers |= {"Accept-Ranges": "bytes"}
        # Large files live beside git and are known by their SHA-256, the others by a git hash.
        if file.endswith((".safetensors", ".bin", ".pt", ".pth")):
            promised = size + (fault.by if isinstance(fault, WrongSize) else 0)
            headers |= {"ETag": f'"{digest[:32]}"', "X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(promised)}
            if hub.xet:
                headers |= {"X-Xet-Hash": digest, "X-Xet-Refresh-Route": f"{hub.url}/xet-token"}
            if hub.redirects:
                self._redirect(302, f"{hub.content_network}/content/{digest}?Expires=1", headers)
                return
        else:
            headers |= {"ETag": f'"{digest[:40]}"'}
            if hub.redirects and not cached:
                where = f"/api/resolve-cache/models/{repo}/{headers['X-Repo-Commit']}/{file}?etag=x"
                self._redirect(307, where, {"X-Repo-Commit": headers["X-Repo-Commit"]})
                return
        self._file(content, headers, fault)

    def _file(self, content: Content, headers: dict[str, str], fault: Fault | None) -> None:
        """Whole, or what the Range header asks for."""
        size = _size(content)
        wanted = self.log.range if self.server.hub.ranges else None
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted or "")
        start = int(match[1]) if match else 0
        end = min(int(match[2]) + 1, size) if match and match[2] else size
        if start and start >= size:
            self._send(416, b"", {**headers, "Content-Range": f"bytes */{size}"})
            return
        if match:
            headers = {**headers, "Content-Range": f"bytes {start}-{end - 1}/{size}"}
        self._headers(206 if match else 200, end - start, headers)
        if self.command == "GET":
            self._body(content, start, end, fault)

    def _refuse(self, repo: str, revision: str) -> bool:
        """Answers for a repository or revision that is not there or not open to the caller."""
        hub = self.server.hub
        token = self.headers.get("Authorization")
        if token not in (None, f"Bearer {hub.token}"):
            self._send(401, b"", {"X-Error-Message": "Invalid credentials in Authorization header"})
        elif repo not in hub.repos:
            self._send(401 if token is None else 404, b"", {"X-Error-Code": "RepoNotFound"})
        elif repo in hub.gated and (token is None or repo in hub.not_granted):
            error = {"X-Error-Code": "GatedRepo", "X-Error-Message": f"Access to {repo} is restricted."}
            self._send(401 if token is None else 403, b"", error)
        elif revision not in {*hub.revisions, hub.commit(repo)}:
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        else:
            return False
        return True

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self._headers(status, len(body), headers or {})
        if self.command == "GET":
            self._write(body)

    def _headers(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.log.status = status
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _body(self, content: Content, start: int, end: int, fault: Fault | None) -> None:
        left = end - start
        if isinstance(fault, (Cut, Hang)):
            left = min(left, fault.after or 0)
        block = fault.block if isinstance(fault, Slow) else BLOCK
        position = start
        while left > 0:
            if isinstance(fault, Slow) and self.server.hub.closing.wait(fault.pause):
                break
            piece = _piece(content, position, min(block, left))
            self._write(piece)
            position += len(piece)
            left -= len(piece)
        if isinstance(fault, Hang):
            self.server.hub.closing.wait()
        if isinstance(fault, Cut) and fault.reset:
            time.sleep(0.2)  # let what was sent arrive before the reset overtakes it
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())  # without the shutdown, which would end it politely
        if isinstance(fault, (Cut, Hang)):
            self.close_connection = True

    def _write(self, data: bytes) -> None:
        self.wfile.write(data)
        self.log.sent += len(data)


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _piece(content: Content, start: int, length: int) -> bytes:
    if isinstance(content, bytes):
        return content[start : start + length]
    with content.open("rb") as file:
        file.seek(start)
        return file.read(length)
