"""A real nginx with deploy/nginx.conf, before a server of the tests."""

from __future__ import annotations

import getpass
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from .free_port import free_port
from .repository import ROOT

NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def write_configuration(folder: Path, upstream: str) -> tuple[Path, int]:
    """A whole configuration around the location of deploy/nginx.conf; the port that it listens on."""
    location = (ROOT / "deploy" / "nginx.conf").read_text().replace("http://127.0.0.1:7860", upstream)
    port = free_port()
    kept = "".join(f"{name}_temp_path {folder}/{name};" for name in TEMPORARY)
    path = folder / "nginx.conf"
    path.write_text(
        f"user {getpass.getuser()}; daemon off; pid {folder}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; {kept} server {{ listen 127.0.0.1:{port};\n{location}\n}} }}"
    )
    return path, port


@contextmanager
def nginx_before(upstream: str, folder: Path) -> Iterator[str]:
    """Yields the URL of the prefix that deploy/nginx.conf serves. upstream: a running server's URL."""
    configuration, port = write_configuration(folder, upstream)
    nginx = subprocess.Popen([str(NGINX), "-c", configuration, "-e", "stderr"])
    try:
        for _ in range(300):
            try:
                httpx.get(f"http://127.0.0.1:{port}/clip/health").raise_for_status()
                break
            except httpx.TransportError:
                assert nginx.poll() is None
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/clip"
    finally:
        nginx.terminate()
        nginx.wait(30)
