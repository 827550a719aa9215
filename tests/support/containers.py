"""Builds and runs the project's image with the container engine that is there: docker or podman.

Where the Python image cannot be pulled, its place is taken by a small Debian with Python, which mmdebstrap makes.
Engine and base are kept from run to run, so only the first build on a machine takes minutes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from .repository import ROOT
from .server_process import ServerProcess

IMAGE = "localhost/openclip-api-test"
DEBIAN = "localhost/debian-python"
(PYTHON,) = re.findall(r"^ARG BASE=(\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
# In a container without systemd and with the kernel's first cgroups podman wants these.
NESTED = ("--runtime=runc", "--cgroup-manager=cgroupfs")
NESTED_RUN = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096")


@dataclass(frozen=True)
class Engine:
    """A container engine. program: its command line; run_options: what `run` needs here."""

    program: tuple[str, ...]
    build_options: tuple[str, ...] = ()
    run_options: tuple[str, ...] = ()

    def call(self, *arguments: str | Path, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self.program, *arguments], capture_output=True, text=True, timeout=timeout)

    def ask(self, *arguments: str | Path) -> str:
        """What the engine prints. Raises AssertionError with its errors if it fails."""
        done = self.call(*arguments)
        assert done.returncode == 0, f"{' '.join(map(str, arguments))}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout.strip()

    def size(self, image: str) -> int:
        """Bytes."""
        return int(self.ask("image", "inspect", image, "--format", "{{.Size}}"))

    def build(self, image: str, folder: Path = ROOT, /, **arguments: str) -> None:
        named = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        self.ask("build", "--network=host", *self.build_options, *named, "-t", image, folder)

    def run(self, image: str, *command: str) -> str:
        """What a command prints in a container of its own."""
        return self.ask("run", "--rm", "--no-healthcheck", "--network=host", *self.run_options, image, *command)

    @contextmanager
    def serve(
        self, image: str = IMAGE, *, options: Sequence[str] = (), ready: bool = True, **settings: Any
    ) -> Iterator[Container]:
        """The image's own command as a process of this machine's network; it is removed afterwards."""
        name = f"openclip-api-{uuid4().hex[:12]}"
        variables = [f"--env={key}={value}" for key, value in ({"PORT": 0, "HOST": "127.0.0.1"} | settings).items()]
        command = [*self.program, "run", f"--name={name}", "--network=host", *self.run_options, *options, *variables]
        try:
            with Container(*command, image, ready=ready) as container:
                container.engine, container.name = self, name
                yield container
        finally:
            self.call("rm", "--force", name)


class Container(ServerProcess):
    """The engine's `run`, which hands on signals, the log and the exit code."""

    engine: Engine
    name: str

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command inside the container."""
        return self.engine.call("exec", self.name, *command, timeout=30)


def find_engine() -> Engine | None:
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True).returncode == 0:
        return Engine(("docker",))
    if not shutil.which("podman"):
        return None
    isolation = () if Path("/run/systemd/system").exists() else ("--isolation=chroot",)
    build = ("--format=docker", *isolation)  # the other format has no HEALTHCHECK
    plain = Engine(("podman",), build)
    nested = Engine(("podman", *NESTED), build, NESTED_RUN)
    return next((engine for engine in (plain, nested) if _runs(engine)), None)


def _runs(engine: Engine) -> bool:
    try:
        engine.run(base_image(engine), "true")
    except AssertionError:
        return False
    return True


def base_image(engine: Engine) -> str:
    """The Dockerfile's own base where it can be had, else Debian's Python."""
    for image in (PYTHON, DEBIAN):
        if engine.call("image", "inspect", image).returncode == 0:
            return image
    if engine.call("pull", "--quiet", PYTHON, timeout=300).returncode == 0:
        return PYTHON
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "debian.tar"
        _write_debian(archive)
        engine.ask("import", archive, DEBIAN)
    return DEBIAN


def _write_debian(archive: Path) -> None:
    """Debian's smallest system with Python, and this machine's certificates and pip settings, to reach what it does."""
    hooks = [
        'ln -s python3 "$1/usr/bin/python"',
        'rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED',
        "copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs",
    ]
    if Path("/etc/pip.conf").exists():
        hooks.append("copy-in /etc/pip.conf /etc")
    packages = "--include=python3,python3-venv,python3-pip,ca-certificates"
    command = ["mmdebstrap", "--variant=minbase", packages, *(f"--customize-hook={hook}" for hook in hooks)]
    subprocess.run([*command, "bookworm", archive], check=True, capture_output=True, timeout=300)
