"""Draw each vendor's pictures into one array of pixels a vendor.

    python training/render.py

PIXELS/<vendor>.npy          uint8 [N, 4, SIZE, SIZE], red green blue alpha; colours are premultiplied, so
                             that scaling a picture later doesn't pull a dark rim in from transparent pixels
PIXELS/<vendor>.concepts.npy int32 [N], the index in load_concepts() that each picture shows
"""

import argparse
import io
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import resvg_py
from art import ART, SYMBOLA_FONT, Vendor
from concepts import FLAGS, load_concepts
from find import find_pictures, read_icons
from ink import coloured_in, painted, palette
from paths import PIXELS
from PIL import Image, ImageDraw, ImageFont

SIZE = 128


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


def premultiplied(picture: Image.Image) -> np.ndarray:
    pixels = np.asarray(picture).astype(np.float32)
    pixels[..., :3] *= pixels[..., 3:] / 255
    return pixels.round().astype(np.uint8).transpose(2, 0, 1)


def pictures_of(vendor: Vendor) -> Iterator[tuple[int, Image.Image]]:
    """Each picture with the concept that it shows."""
    if vendor.found == "font":
        return font_pictures(vendor)
    return inked_icons(vendor) if vendor.hand == "inked" else svg_pictures(vendor)


def svg_pictures(vendor: Vendor) -> Iterator[tuple[int, Image.Image]]:
    icons = read_icons(vendor) if vendor.found != "file" else {}
    found = find_pictures(vendor, load_concepts())
    for name, index in sorted(found.items(), key=lambda item: (item[1], item[0])):
        if icons:
            yield index, draw(iconify_svg(icons, name))
        else:
            yield from clip_art(vendor, name, index)


def clip_art(vendor: Vendor, name: str, index: int) -> Iterator[tuple[int, Image.Image]]:
    """Nothing where the file, twenty years old, is not one that resvg reads."""
    try:
        yield index, draw((vendor.package.folder / name).read_text(errors="replace"))
    except ValueError:
        return


def font_pictures(vendor: Vendor) -> Iterator[tuple[int, Image.Image]]:
    """The font's line drawings; flags are only letters there."""
    font = ImageFont.truetype(vendor.font_file, 2 * SIZE)
    missing = glyph(font, "\U0010fffd")
    coloured = dict(svg_pictures(ART["noto"])) if vendor.hand == "inked" else None
    for index, concept in enumerate(load_concepts()):
        if concept.group == FLAGS or (coloured is not None and index not in coloured):
            continue
        emoji = concept.emoji.replace("\ufe0f", "")
        if vendor.package == SYMBOLA_FONT and len(emoji) > 1:  # it draws the parts side by side
            continue
        lines = glyph(font, emoji)
        if lines is None or (missing and lines.tobytes() == missing.tobytes()):
            continue
        if coloured is None:
            picture = Image.new("RGBA", lines.size)
            picture.putalpha(lines)
        else:
            picture = coloured_in(lines, coloured[index])
        yield index, squared(picture)


def glyph(font: ImageFont.FreeTypeFont, text: str) -> Image.Image | None:
    """Its ink, cut out; None where there is none."""
    canvas = Image.new("L", (4 * SIZE, 4 * SIZE))
    ImageDraw.Draw(canvas).text((2 * SIZE, 2 * SIZE), text, fill=255, font=font, anchor="mm")
    box = canvas.getbbox()
    return canvas.crop(box) if box else None


def inked_icons(vendor: Vendor) -> Iterator[tuple[int, Image.Image]]:
    """Icons whose lines enclose something, in the colours that noto and twemoji give the concept."""
    colours: dict[int, list[Image.Image]] = {}
    for name in ("noto", "twemoji", "fluent-emoji-flat"):
        for index, picture in saved_pictures(name):
            colours.setdefault(index, []).append(picture)
    rng = random.Random(0)
    for index, icon in svg_pictures(vendor):
        picture = painted(icon.getchannel("A"), palette(rng.choice(colours[index])), rng) if index in colours else None
        if picture is not None:
            yield index, picture


def saved_pictures(name: str) -> Iterator[tuple[int, Image.Image]]:
    pixels = np.load(PIXELS / f"{name}.npy", mmap_mode="r")
    for row, index in enumerate(np.load(PIXELS / f"{name}.concepts.npy").tolist()):
        yield index, Image.fromarray(np.ascontiguousarray(pixels[row].transpose(1, 2, 0)), "RGBA")


def render(name: str) -> str:
    pixels, indices, empty = [], [], 0
    for index, drawn in pictures_of(ART[name]):
        picture = premultiplied(drawn)
        if picture[3].max() < 128:  # nothing drawn
            empty += 1
            continue
        pixels.append(picture)
        indices.append(index)
    PIXELS.mkdir(parents=True, exist_ok=True)
    for file, array in ((f"{name}.npy", np.stack(pixels)), (f"{name}.concepts.npy", np.array(indices, dtype=np.int32))):
        np.save(PIXELS / f"partial-{file}", array)
        (PIXELS / f"partial-{file}").replace(PIXELS / file)  # a training may have the old one mapped
    return f"{name}: {len(indices)} pictures of {len(set(indices))} concepts, {empty} empty"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("vendors", nargs="*", help="default: all")
    options = parser.parse_args()
    names = options.vendors or list(ART)
    with ProcessPoolExecutor() as pool:
        for part in (
            [n for n in names if "inked" not in n],
            [n for n in names if "inked" in n],
        ):  # from the others' colours
            for line in pool.map(render, part):
                print(line, flush=True)
