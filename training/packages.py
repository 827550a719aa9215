"""Packages of npm and Debian 12: download a pinned version, and check that it is under the licence we expect."""

import json
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from paths import PACKAGES


@dataclass(frozen=True)
class Package:
    """One of npm's. Its package.json and, if there is one, info.json name the licence."""

    name: str
    version: str
    licence: str

    @property
    def folder(self) -> Path:
        return PACKAGES / self.name.replace("/", "-").lstrip("@")


@dataclass(frozen=True)
class DebianPackage:
    """One of Debian's. Its copyright file holds the words that allow the use."""

    name: str
    version: str
    licence: str
    allowed_by: str

    @property
    def folder(self) -> Path:
        return PACKAGES / f"debian-{self.name}"


EMOJIBASE = Package("emojibase-data", "17.0.0", "MIT")
EMOJILIB = Package("emojilib", "4.0.3", "MIT")
WORDNET = DebianPackage(
    "wordnet-base", "1:3.0-37", "WordNet 3.0", "Permission to use, copy, modify and distribute this software and"
)


def fetch(package: Package | DebianPackage) -> None:
    if not package.folder.exists():
        PACKAGES.mkdir(parents=True, exist_ok=True)
        partial = package.folder.with_suffix(".partial")
        if isinstance(package, Package):
            unpack_npm(package, partial)
        else:
            unpack_debian(package, partial)
    check_licence(package)


def unpack_npm(package: Package, partial: Path) -> None:
    command = ["npm", "pack", "--silent", f"{package.name}@{package.version}", "--pack-destination", str(PACKAGES)]
    archive = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
    with tarfile.open(PACKAGES / archive) as tar:
        tar.extractall(partial, filter="data")
    (partial / "package").rename(package.folder)
    partial.rmdir()


def unpack_debian(package: DebianPackage, partial: Path) -> None:
    subprocess.run(
        ["apt-get", "download", "-q", f"{package.name}={package.version}"],
        check=True,
        cwd=PACKAGES,
        capture_output=True,
    )
    (archive,) = PACKAGES.glob(f"{package.name}_*.deb")
    subprocess.run(["dpkg-deb", "-x", str(archive), str(partial)], check=True)
    partial.rename(package.folder)


def check_licence(package: Package | DebianPackage) -> None:
    if isinstance(package, DebianPackage):
        text = (package.folder / "usr" / "share" / "doc" / package.name / "copyright").read_text()
        if package.allowed_by not in text:
            raise ValueError(f"{package.name}={package.version}: its copyright file lacks {package.allowed_by!r}")
        return
    manifest = json.loads((package.folder / "package.json").read_text())
    declared = {manifest["license"]}
    info = package.folder / "info.json"
    if info.exists():
        declared.add(json.loads(info.read_text())["license"]["spdx"])
    if declared != {package.licence}:
        raise ValueError(f"{package.name}@{package.version} declares {declared}, expected {package.licence!r}")
