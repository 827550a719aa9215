"""The sets of pictures: what each is, and how its pictures are found and drawn."""

from dataclasses import dataclass, replace
from pathlib import Path

from packages import DebianPackage, Package
from paths import HERE


@dataclass(frozen=True)
class Vendor:
    package: Package | DebianPackage
    hand: str  # "coloured", "lines", or "inked": lines with surfaces that we coloured in
    found: str  # how a picture's concept is found: "code", "label", "name", "file" or "font"
    font: str = ""  # the font's file

    @property
    def font_file(self) -> Path:
        return self.package.folder / self.font


NOTO_FONT = Package("@expo-google-fonts/noto-emoji", "0.4.7", "MIT AND OFL-1.1")
NOTO_LIGHT = "300Light/NotoEmoji_300Light.ttf"
NOTO_BOLD = "600SemiBold/NotoEmoji_600SemiBold.ttf"
SYMBOLA_FONT = DebianPackage("fonts-symbola", "2.60-1.1", "free for any use", "Fonts are free for any use")
SYMBOLA = "usr/share/fonts/truetype/ancient-scripts/Symbola_hint.ttf"
CLIP_ART = DebianPackage("openclipart-svg", "1:0.18+dfsg-19", "public domain", "creative commons Public Domain Dedica")


def iconify_sets() -> dict[str, Vendor]:
    lines = [line.split() for line in (HERE / "art.txt").read_text().splitlines() if not line.startswith("#")]
    return {
        name: Vendor(Package(f"@iconify-json/{name}", version, licence), hand, found)
        for name, version, licence, hand, found in lines
    }


# Line icons in the manner that the coloured sets lack: black lines, and surfaces in the colours of the concept.
INKED = ("ph", "tabler", "lucide", "mdi", "solar", "hugeicons", "iconoir", "icon-park-outline", "streamline", "carbon")

SETS = iconify_sets()
TRAINING_ART = {
    **SETS,
    **{f"{name}-inked": replace(SETS[name], hand="inked") for name in INKED},
    "clip-art": Vendor(CLIP_ART, "coloured", "file"),
    "noto-thin": Vendor(NOTO_FONT, "lines", "font", NOTO_LIGHT),
    "noto-thick": Vendor(NOTO_FONT, "lines", "font", NOTO_BOLD),
    "noto-inked": Vendor(NOTO_FONT, "inked", "font", NOTO_LIGHT),
    "symbola": Vendor(SYMBOLA_FONT, "lines", "font", SYMBOLA),
    "symbola-inked": Vendor(SYMBOLA_FONT, "inked", "font", SYMBOLA),
}

# Never trained on: it measures what the model makes of a hand it has not seen.
HELD_OUT_ART = {
    "openmoji": Vendor(Package("@iconify-json/openmoji", "1.2.29", "CC-BY-SA-4.0"), "coloured", "code"),
}

ART = TRAINING_ART | HELD_OUT_ART
