"""Draw each vendor's SVG for each concept into one array of pixels a vendor.

    python training/render.py

PIXELS/<vendor>.npy          uint8 [N, 4, SIZE, SIZE], red green blue alpha; colours are premultiplied, so
                             that scaling a picture later doesn't pull a dark rim in from transparent pixels
PIXELS/<vendor>.concepts.npy int32 [N], the index in load_concepts() that each picture shows
"""

import io
import json
import re
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import resvg_py
from concepts import Concept, load_concepts, plain
from fetch import ART, Package
from paths import PIXELS
from PIL import Image

SIZE = 128
MONOCHROME = (
    "fluent-emoji-high-contrast",
    "emojione-monotone",
)  # drawn in `currentColor`: training gives them a colour


def iconify_svg(icons: dict, name: str) -> str:
    while name in icons.get("aliases", {}):
        name = icons["aliases"][name]["parent"]
    icon = icons["icons"][name]
    width = icon.get("width", icons.get("width", 16))
    height = icon.get("height", icons.get("height", 16))
    box = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
    size = f'viewBox="{box}" width="{width}" height="{height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{icon["body"]}</svg>'


def draw(svg: str, size: int = SIZE) -> Image.Image:
    """The picture in the middle of a transparent square."""
    png = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg, width=size * 2)))).convert("RGBA")
    png.thumbnail((size, size), Image.Resampling.BOX)
    square = Image.new("RGBA", (size, size))
    square.paste(png, ((size - png.width) // 2, (size - png.height) // 2))
    return square


def find_pictures(vendor: str, package: Package, concepts: list[Concept]) -> dict[str, int]:
    """Icon name → concept. By code point where the vendor gives one, else by name; each picture shows one concept."""
    icons = json.loads((package.folder / "icons.json").read_text())
    names = [*icons["icons"], *icons.get("aliases", {})]
    by_code = json.loads((package.folder / "chars.json").read_text())
    by_hexcode = {concept.hexcode: index for index, concept in enumerate(concepts)}
    found = {icon: by_hexcode[code] for code, icon in by_code.items() if code in by_hexcode}
    if by_code:
        return found
    by_name = name_table(concepts)
    for name in names:
        key = name_key(name)
        candidates = [key, key.removesuffix(" face"), key.replace(" ", "")] if vendor != "fxemoji" else [key]
        for candidate in candidates:
            if candidate in by_name:
                found[name] = by_name[candidate]
                break
    return found


def name_key(name: str) -> str:
    name = re.sub(r"^flag-for-(flag-)?", "flag-", name)
    return plain(re.sub(r"-[123]$", "", name))  # streamline draws some twice: cat-1, cat-2


def name_table(concepts: list[Concept]) -> dict[str, int]:
    """Names before shortcodes, and nothing that two concepts claim; also without spaces, as fxemoji writes them."""
    table: dict[str, int] = {}
    for spell in (str, lambda phrase: phrase.replace(" ", "")):
        for index, concept in enumerate(concepts):
            table.setdefault(spell(concept.name), index)
        claims: dict[str, set[int]] = {}
        for index, concept in enumerate(concepts):
            for alias in concept.aliases:
                claims.setdefault(spell(alias), set()).add(index)
        for alias, owners in claims.items():
            if len(owners) == 1:
                table.setdefault(alias, *owners)
    return table


def premultiplied(picture: Image.Image) -> np.ndarray:
    pixels = np.asarray(picture).astype(np.float32)
    pixels[..., :3] *= pixels[..., 3:] / 255
    return pixels.round().astype(np.uint8).transpose(2, 0, 1)


def render(vendor: str) -> str:
    concepts = load_concepts()
    package = ART[vendor]
    found = find_pictures(vendor, package, concepts)
    icons = json.loads((package.folder / "icons.json").read_text())
    pixels, indices, empty = [], [], 0
    for name, index in sorted(found.items(), key=lambda item: (item[1], item[0])):
        picture = premultiplied(draw(iconify_svg(icons, name)))
        if picture[3].max() < 128:  # nothing drawn
            empty += 1
            continue
        pixels.append(picture)
        indices.append(index)
    PIXELS.mkdir(parents=True, exist_ok=True)
    np.save(PIXELS / f"{vendor}.npy", np.stack(pixels))
    np.save(PIXELS / f"{vendor}.concepts.npy", np.array(indices, dtype=np.int32))
    return f"{vendor}: {len(indices)} pictures of {len(set(indices))} concepts, {empty} empty"


if __name__ == "__main__":
    with ProcessPoolExecutor() as pool:
        for line in pool.map(render, ART):
            print(line, flush=True)
