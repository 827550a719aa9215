"""Which picture of a set shows which concept: by code point where the set gives one, else by name.

python training/find.py        prints how many each set has
"""

import json
import re
from pathlib import Path

from art import ART, Vendor
from concepts import Concept, load_concepts, plain
from paths import HERE

AT_MOST = 4  # pictures of one concept in one set of icons: some have a dozen weights of each

# What sets add to a name for the size, weight or hand in which the icon is drawn.
STYLE = re.compile(
    r" (outlined?|filled|fill|bold|duotone|thin|light|line|linear|solid|rounded|round|sharp|broken|two tone|twotone"
    r"|regular|color|remix|flat|freehand|alt|\d+|rtl|ltr|o|s)$"
)
NUMBER = re.compile(r" \d+$")  # streamline draws some twice: cat-1, cat-2
PREFIX = re.compile(r"^(animals?|food|emoji|weather|transport|fruit|drink|sports?|shopping|travel|nature) ")


def read_icons(vendor: Vendor) -> dict:
    return json.loads((vendor.package.folder / "icons.json").read_text())


def find_pictures(vendor: Vendor, concepts: list[Concept]) -> dict[str, int]:
    """Name of the picture → concept; each picture shows one concept."""
    if vendor.found == "code":
        by_hexcode = {concept.hexcode: index for index, concept in enumerate(concepts)}
        by_code = json.loads((vendor.package.folder / "chars.json").read_text())
        return {icon: by_hexcode[code] for code, icon in by_code.items() if code in by_hexcode}
    names = name_table(concepts, {} if vendor.found == "label" else read_icon_names(concepts))
    if vendor.found == "file":
        return clip_art(vendor.package.folder, names)
    icons = read_icons(vendor)
    found: dict[str, int] = {}
    count: dict[int, int] = {}
    for name in sorted([*icons["icons"], *icons.get("aliases", {})]):
        concept = look_up(name, names, NUMBER if vendor.found == "label" else STYLE)
        if concept is not None and count.get(concept, 0) < AT_MOST:
            found[name] = concept
            count[concept] = count.get(concept, 0) + 1
    return found


def look_up(name: str, names: dict[str, int], style: re.Pattern) -> int | None:
    """The name itself, else without what is said of the style."""
    key = plain(re.sub(r"^flag-for-(flag-)?", "flag-", name))
    while True:
        for candidate in (key, PREFIX.sub("", key), key.removesuffix(" face")):
            if len(candidate) >= 3 and candidate in names:
                return names[candidate]
        shorter = style.sub("", key)
        if shorter == key:
            return None
        key = shorter


def clip_art(folder: Path, names: dict[str, int]) -> dict[str, int]:
    """Files are called by thing and author, "elephant_mimooh_01.svg": the first words that name a concept count."""
    root = folder / "usr" / "share" / "openclipart" / "svg"
    rooms = ("animals", "food", "transportation", "people", "plants", "recreation", "buildings", "tools", "office")
    found = {}
    for path in sorted(file for room in rooms for file in (root / room).rglob("*.svg")):
        words = plain(path.stem).split()
        spans = [" ".join(words[:length]) for length in (3, 2, 1)]
        concept = next((names[span] for span in spans if len(span) >= 3 and span in names), None)
        if concept is not None and path.stat().st_size < 300_000:
            found[str(path.relative_to(folder))] = concept
    return found


def name_table(concepts: list[Concept], icon_names: dict[str, int | None]) -> dict[str, int]:
    """What icon sets say, then names, then other names that no two concepts claim; also written without spaces."""
    table = dict(icon_names)
    for index, concept in enumerate(concepts):
        table.setdefault(concept.name, index)
    claims: dict[str, set[int]] = {}
    for index, concept in enumerate(concepts):
        for alias in concept.aliases:
            claims.setdefault(alias, set()).add(index)
    for alias, owners in claims.items():
        if len(owners) == 1 and (len(alias) > 3 or not icon_names):  # "ad" is an advertisement there, not Andorra
            table.setdefault(alias, *owners)
    for phrase, index in list(table.items()):
        table.setdefault(phrase.replace(" ", ""), index)
    return {phrase: index for phrase, index in table.items() if index is not None}


def read_icon_names(concepts: list[Concept]) -> dict[str, int | None]:
    """What sets of icons call a concept; None for names that mean something else there than among emoji."""
    by_name = {concept.name: index for index, concept in enumerate(concepts)}
    table: dict[str, int | None] = {}
    for line in (HERE / "icon_names.txt").read_text().splitlines():
        name, colon, words = line.partition(": ")
        if not line.startswith("#"):
            table.update({plain(word): by_name[plain(name)] for word in words.split(", ")} if colon else {name: None})
    return table


if __name__ == "__main__":
    concepts = load_concepts()
    for name, vendor in ART.items():
        if vendor.found != "font":
            found = find_pictures(vendor, concepts)
            print(f"{name}: {len(found)} pictures of {len(set(found.values()))} concepts")
