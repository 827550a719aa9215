"""IMAGE_READING=natural: the picture as people see it.

Upright, on white where it is transparent, smooth where it has a palette, and in sRGB. A file that has none of these
gives the pixels of open_clip's reading, bit by bit. What img2dataset made of the pictures that CLIP was trained on is
like this too.

What changes how pixels mix is done before the resize; the rest comes after it, where it costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile

from .colour_profiles import to_srgb
from .structure.bounds import MAX_EXIF_BYTES
from .structure.iso_media import turns_itself
from .structure.jpeg_xl import read_header

# EXIF 2.32, tag 274: what shows a picture upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SAY_ORIENTATION = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}  # where Pillow keeps what it looks at
SMOOTH = ("L", "LA", "RGB", "RGBA", "CMYK", "LAB")  # modes without a palette, of eight bits

# What a PNG's transparent level is multiplied by to be the pixel's, by how Pillow unpacks the pixels. Pillow does that
# itself for one bit only.
LEVELS = {"L;2": 85, "L;4": 17}
LEVEL_SHIFTS = {"RGB;16B": 8}

Box = tuple[int, int, int, int]
Picture = Image.Image
Opened = ImageFile.ImageFile  # its header is read, its pixels are not


@dataclass(frozen=True)
class Prepared:
    """A picture to resize, and what is to do with it after that: `turn` first, `finish` when it has its size."""

    picture: Picture
    turn: Callable[[Picture], Picture]
    finish: Callable[[Picture], Picture]


def prepared(image: Opened, data: bytes) -> Prepared:
    """image: opened from `data`, not decoded yet. Decodes it only where it must be changed before the resize."""
    profile = image.info.get("icc_profile")
    box = _first_frame(image, data)
    key = _transparent_key(image)
    bits = _grey_bits(image)
    orientation = _orientation(image, data)

    def turn(picture: Picture) -> Picture:
        return picture.transpose(TURNS[orientation]) if orientation in TURNS else picture

    return Prepared(_smooth(image, key, bits, box), turn, lambda picture: to_srgb(picture, profile).convert("RGB"))


def _smooth(image: Opened, key: Any, bits: int, box: Box | None) -> Picture:
    """In a mode that can be resized with smoothing. Levels of 16 bits become levels of 8."""
    mode = image.mode
    if mode.startswith("I;"):
        picture = _from_16_bits(image, key, bits)
    elif mode in ("I", "F"):
        picture = _stretched(image)
    elif mode in SMOOTH and key is None:
        picture = image
    else:
        if key is not None:
            image.info["transparency"] = key
        has_alpha = image.has_transparency_data
        grey = mode in ("1", "L", "La")
        picture = image.convert(("LA" if has_alpha else "L") if grey else ("RGBA" if has_alpha else "RGB"))
    return picture if box is None and picture.mode not in ("LA", "RGBA") else _on_white(picture, box)


def _from_16_bits(image: Picture, key: int | None, bits: int) -> Picture:
    values = np.asarray(image)
    if _is_negative(image):
        values = ((1 << bits) - 1) - values
    grey = Image.fromarray((values >> (bits - 8) if bits > 8 else values).astype(np.uint8))
    if key is None:
        return grey
    return Image.merge("LA", (grey, Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8))))


def _is_negative(image: Picture) -> bool:
    """TIFF 6.0, section 8, PhotometricInterpretation 0: white is zero. Pillow turns that round for eight bits only."""
    return image.format == "TIFF" and getattr(image, "tag_v2", {}).get(262) == 0


def _stretched(image: Picture) -> Picture:
    """Levels of 32 bits: 0 to 1 become 0 to 255. Where there are others, the least is black and the greatest white."""
    values: NDArray[np.float32] = np.nan_to_num(np.asarray(image, np.float32), nan=0, posinf=0, neginf=0)
    low, high = float(values.min()), float(values.max())
    if image.mode == "F" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    values = np.subtract(values, np.float32(low), out=values)
    values *= np.float32(255 / max(high - low, 1e-30))
    return Image.fromarray(np.rint(values, out=values).astype(np.uint8))


def _on_white(picture: Picture, box: Box | None) -> Picture:
    """L or RGB. box: what there is of the picture, the rest being transparent too."""
    is_grey = picture.mode in ("L", "LA")
    shown = Image.new("L" if is_grey else "RGB", picture.size, "white")
    part = picture if box is None else picture.crop(box)
    alpha = part.getchannel("A") if part.mode in ("LA", "RGBA") else None
    shown.paste(part.convert("L") if is_grey else part, box, alpha)
    return shown


def _transparent_key(image: Opened) -> Any:
    """The level or colour that is transparent, as the pixels have it; a palette's index, or its alphas; or None."""
    key = image.info.get("transparency")
    if key is None or image.format != "PNG" or image.mode == "P" or not image.tile:
        return key
    packed = image.tile[0].args
    if packed in LEVEL_SHIFTS:
        return tuple(level >> LEVEL_SHIFTS[packed] for level in key)
    return key * LEVELS[packed] if packed in LEVELS else key


def _grey_bits(image: Opened) -> int:
    if image.format == "TIFF" and image.tile:
        declared = getattr(image, "tag_v2", {}).get(258, (16,))
        return int(declared[0] if isinstance(declared, tuple) else declared)
    return 16


def _first_frame(image: Opened, data: bytes) -> Box | None:
    """Which part of an animation's canvas its first frame covers; None for all of it."""
    box = None
    if image.format == "GIF" and image.tile:
        box = image.tile[0].extents
    elif image.format == "PNG" and getattr(image, "default_image", False):
        # The picture that IDAT holds is for programs that know no animations.
        with suppress(EOFError):
            image.seek(1)
            box = image.tile[0].extents
    elif image.format == "WEBP" and getattr(image, "is_animated", False):
        box = _first_webp_frame(data)
    return None if box is None or box == (0, 0, *image.size) else box


def _first_webp_frame(data: bytes) -> Box | None:
    """RFC 9649, 2.7.1: the ANMF chunk has X, Y, width and height in 24 bits each."""
    at = 12
    while at + 24 <= len(data) and data[at : at + 4] != b"ANMF":
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + length + length % 2
    if at + 24 > len(data):
        return None
    x, y, width, height = (int.from_bytes(data[at + 8 + i : at + 11 + i], "little") for i in (0, 3, 6, 9))
    return 2 * x, 2 * y, 2 * x + width + 1, 2 * y + height + 1


def _orientation(image: Opened, data: bytes) -> int:
    """Of EXIF; 1 where there is none that can be read. A PNG or WebP may have any number of bytes of it."""
    if image.format == "TIFF":  # Pillow turns it
        return 1
    if image.format == "HEIF":
        return 1 if turns_itself(data) else image.info.get("original_orientation") or 1
    if image.format == "PNG":
        image.load()  # EXIF may come behind the pixels
    if image.format == "JXL" and not image.jpeg and read_header(data).orientation != 1:  # type: ignore[attr-defined]
        return 1  # its decoder turned it; a JPEG that was packed into it comes out as it was
    if not SAY_ORIENTATION & image.info.keys() or len(image.info.get("exif", b"")) > MAX_EXIF_BYTES:
        return 1
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except MemoryError:
        raise
    except Exception:  # nonsense in EXIF can raise anything
        return 1
    return orientation if isinstance(orientation, int) else 1
