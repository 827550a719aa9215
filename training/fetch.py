"""Download the pinned npm packages and check that each is under the licence we expect.

python training/fetch.py
"""

import json
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from paths import PACKAGES


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    licence: str

    @property
    def folder(self) -> Path:
        return PACKAGES / self.name.replace("/", "-").lstrip("@")


NOTO_FONT = Package("@expo-google-fonts/noto-emoji", "0.4.7", "MIT AND OFL-1.1")

# Art the model learns from. Iconify repackages the vendors' SVG files; `info.json` in each names author and licence.
TRAINING_ART = {
    "noto": Package("@iconify-json/noto", "1.2.9", "Apache-2.0"),
    "noto-v1": Package("@iconify-json/noto-v1", "1.2.5", "Apache-2.0"),
    "fluent-emoji": Package("@iconify-json/fluent-emoji", "1.2.7", "MIT"),
    "fluent-emoji-flat": Package("@iconify-json/fluent-emoji-flat", "1.2.6", "MIT"),
    "fluent-emoji-high-contrast": Package("@iconify-json/fluent-emoji-high-contrast", "1.2.6", "MIT"),
    "twemoji": Package("@iconify-json/twemoji", "1.2.5", "CC-BY-4.0"),
    "emojione": Package("@iconify-json/emojione", "1.2.3", "CC-BY-4.0"),
    "emojione-monotone": Package("@iconify-json/emojione-monotone", "1.2.1", "CC-BY-4.0"),
    "fxemoji": Package("@iconify-json/fxemoji", "1.2.2", "Apache-2.0"),
    "streamline-emojis": Package("@iconify-json/streamline-emojis", "1.2.4", "CC-BY-4.0"),
    # icons: only those that bear the name of a concept
    "ph": Package("@iconify-json/ph", "1.2.2", "MIT"),
    "tabler": Package("@iconify-json/tabler", "1.2.41", "MIT"),
    "lucide": Package("@iconify-json/lucide", "1.2.137", "ISC"),
    "mdi": Package("@iconify-json/mdi", "1.2.3", "Apache-2.0"),
    "game-icons": Package("@iconify-json/game-icons", "1.2.4", "CC-BY-3.0"),
    "icon-park": Package("@iconify-json/icon-park", "1.2.4", "Apache-2.0"),
    # a font: every emoji as a line drawing, thin, thick, and coloured in by us
    "noto-thin": NOTO_FONT,
    "noto-thick": NOTO_FONT,
    "noto-inked": NOTO_FONT,
}

# Never trained on: it measures what the model makes of a hand it has not seen.
HELD_OUT_ART = {"openmoji": Package("@iconify-json/openmoji", "1.2.29", "CC-BY-SA-4.0")}

ART = TRAINING_ART | HELD_OUT_ART

EMOJIBASE = Package("emojibase-data", "17.0.0", "MIT")
EMOJILIB = Package("emojilib", "4.0.3", "MIT")


def fetch(package: Package) -> None:
    if not package.folder.exists():
        PACKAGES.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", "--silent", f"{package.name}@{package.version}", "--pack-destination", str(PACKAGES)]
        archive = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
        with tarfile.open(PACKAGES / archive) as tar:
            partial = package.folder.with_suffix(".partial")
            tar.extractall(partial, filter="data")
            (partial / "package").rename(package.folder)
            partial.rmdir()
    check_licence(package)


def check_licence(package: Package) -> None:
    manifest = json.loads((package.folder / "package.json").read_text())
    declared = {manifest["license"]}
    info = package.folder / "info.json"
    if info.exists():
        declared.add(json.loads(info.read_text())["license"]["spdx"])
    if declared != {package.licence}:
        raise ValueError(f"{package.name}@{package.version} declares {declared}, expected {package.licence!r}")


if __name__ == "__main__":
    for package in dict.fromkeys([*ART.values(), EMOJIBASE, EMOJILIB]):
        fetch(package)
        print(f"{package.name}@{package.version}  {package.licence}")
