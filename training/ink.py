"""Colour line drawings in: black lines around flat surfaces are a hand that most sets lack."""

import random

import numpy as np
from PIL import Image
from scipy import ndimage


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
    return between(lines, surfaces, filled)


def painted(ink: Image.Image, colours: list[tuple[int, int, int]], rng: random.Random) -> Image.Image | None:
    """Black lines, and each surface that they enclose in one of the colours; None where they enclose hardly any."""
    surfaces, count = ndimage.label(np.pad(np.asarray(ink), 1) < 128)
    surfaces = np.where(surfaces == surfaces[0, 0], -1, surfaces)[1:-1, 1:-1]  # outside
    filled = np.zeros((*surfaces.shape, 4), np.uint8)
    main = rng.choice(colours)
    for surface in range(1, count + 1):
        inside = surfaces == surface
        filled[inside] = [*(main if inside.mean() > 0.15 else rng.choice(colours)), 255]
    if (filled[..., 3] > 0).mean() < 0.04:
        return None
    return between(ink, np.abs(surfaces), filled)


def between(lines: Image.Image, surfaces: np.ndarray, filled: np.ndarray) -> Image.Image:
    """The lines over the colours; under a line lies the colour of the nearest surface."""
    nearest = ndimage.distance_transform_edt(surfaces == 0, return_distances=False, return_indices=True)
    picture = Image.fromarray(filled[tuple(nearest)], "RGBA")
    picture.alpha_composite(Image.merge("RGBA", [Image.new("L", lines.size)] * 3 + [lines]))
    return picture


def palette(picture: Image.Image) -> list[tuple[int, int, int]]:
    """The three commonest colours of the picture's solid parts."""
    pixels = np.asarray(picture)
    solid = Image.fromarray(pixels[pixels[..., 3] > 200][None, :, :3])
    few = solid.quantize(6, dither=Image.Dither.NONE)
    counts = sorted(few.getcolors(), reverse=True)[:3]
    table = few.getpalette()
    return [tuple(table[3 * number : 3 * number + 3]) for _, number in counts]
