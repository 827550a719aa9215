"""Draw each vendor's SVG for each concept into one array of pixels a vendor.

    python training/render.py

PIXELS/<vendor>.npy          uint8 [N, 4, SIZE, SIZE], red green blue alpha; colours are premultiplied, so
                             that scaling a picture later doesn't pull a dark rim in from transparent pixels
PIXELS/<vendor>.concepts.npy int32 [N], the index in load_concepts() that each picture shows
"""

import argparse
import io
import json
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import resvg_py
from concepts import FLAGS, Concept, load_concepts, plain
from fetch import ART, Package
from paths import PIXELS
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

SIZE = 128
ICONS = ("ph", "tabler", "lucide", "mdi", "game-icons", "icon-park")
FONTS = {"noto-thin": "300Light", "noto-thick": "600SemiBold", "noto-inked": "300Light"}
# drawn in `currentColor`: training gives them a colour
MONOCHROME = (
    "fluent-emoji-high-contrast",
    "emojione-monotone",
    "ph",
    "tabler",
    "lucide",
    "mdi",
    "game-icons",
    "noto-thin",
    "noto-thick",
)


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
    return squared(Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg, width=size * 2)))), size)


def squared(picture: Image.Image, size: int = SIZE) -> Image.Image:
    """The picture in the middle of a transparent square."""
    picture = picture.convert("RGBA")
    picture.thumbnail((size, size), Image.Resampling.BOX)
    square = Image.new("RGBA", (size, size))
    square.paste(picture, ((size - picture.width) // 2, (size - picture.height) // 2))
    return square


def find_pictures(vendor: str, package: Package, concepts: list[Concept]) -> dict[str, int]:
    """Icon name → concept. By code point where the vendor gives one, else by name; each picture shows one concept."""
    icons = json.loads((package.folder / "icons.json").read_text())
    names = [*icons["icons"], *icons.get("aliases", {})]
    by_code = json.loads((package.folder / "chars.json").read_text()) if vendor not in ICONS else {}
    by_hexcode = {concept.hexcode: index for index, concept in enumerate(concepts)}
    found = {icon: by_hexcode[code] for code, icon in by_code.items() if code in by_hexcode}
    if by_code:
        return found
    by_name = name_table(concepts)
    for name in names:
        key = name_key(name)
        if vendor in ICONS and len(key) < 4:  # "ad" means an advertisement there, not Andorra
            continue
        strict = vendor == "fxemoji" or vendor in ICONS
        candidates = [key] if strict else [key, key.removesuffix(" face"), key.replace(" ", "")]
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


def svg_pictures(vendor: str) -> Iterator[tuple[int, Image.Image]]:
    """Each picture with the concept that it shows."""
    package = ART[vendor]
    found = find_pictures(vendor, package, load_concepts())
    icons = json.loads((package.folder / "icons.json").read_text())
    for name, index in sorted(found.items(), key=lambda item: (item[1], item[0])):
        yield index, draw(iconify_svg(icons, name))


def font_pictures(vendor: str) -> Iterator[tuple[int, Image.Image]]:
    """The font's line drawings; flags are only letters there."""
    weight = FONTS[vendor]
    font = ImageFont.truetype(ART[vendor].folder / weight / f"NotoEmoji_{weight}.ttf", 2 * SIZE)
    coloured = dict(svg_pictures("noto")) if vendor == "noto-inked" else None
    for index, concept in enumerate(load_concepts()):
        if concept.group == FLAGS or (coloured is not None and index not in coloured):
            continue
        canvas = Image.new("L", (4 * SIZE, 4 * SIZE))
        ImageDraw.Draw(canvas).text((2 * SIZE, 2 * SIZE), concept.emoji, fill=255, font=font, anchor="mm")
        lines = canvas.crop(canvas.getbbox())
        if coloured is None:
            picture = Image.new("RGBA", lines.size)
            picture.putalpha(lines)
        else:
            picture = coloured_in(lines, coloured[index])
        yield index, squared(picture)


def coloured_in(lines: Image.Image, colours: Image.Image) -> Image.Image:
    """Black lines, and between them surfaces of one colour each: the one that a coloured picture has there."""
    colours = colours.crop(colours.getchannel("A").getbbox()).resize(lines.size)
    colour, ink = np.asarray(colours), np.asarray(lines)
    surfaces, count = ndimage.label(ink < 128)
    filled = np.zeros((*ink.shape, 4), np.uint8)
    for surface in range(1, count + 1):
        inside = colour[surfaces == surface]
        if (inside[:, 3] > 128).mean() > 0.6:
            filled[surfaces == surface] = [*np.median(inside[inside[:, 3] > 128], axis=0)[:3], 255]
    # under a line lies the colour of the nearest surface
    nearest = ndimage.distance_transform_edt(surfaces == 0, return_distances=False, return_indices=True)
    picture = Image.fromarray(filled[tuple(nearest)], "RGBA")
    picture.alpha_composite(Image.merge("RGBA", [Image.new("L", lines.size)] * 3 + [lines]))
    return picture


def render(vendor: str) -> str:
    pixels, indices, empty = [], [], 0
    for index, drawn in font_pictures(vendor) if vendor in FONTS else svg_pictures(vendor):
        picture = premultiplied(drawn)
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
    parser = argparse.ArgumentParser()
    parser.add_argument("vendors", nargs="*", help="default: all")
    options = parser.parse_args()
    with ProcessPoolExecutor() as pool:
        for line in pool.map(render, options.vendors or ART):
            print(line, flush=True)
