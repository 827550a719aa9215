"""ICC colour profiles: a picture's numbers → sRGB, by the profile in its file. Source: ICC.1:2022, sections 7 and 10.

A profile is a small program, so only the plain kinds are run: matrices, curves and one table. Anything else is ignored,
as open_clip ignores every profile.
"""

from __future__ import annotations

import hashlib
import io
import struct
import threading
from functools import cache

import numpy as np
from cachetools import LRUCache, cached
from PIL import Image, ImageCms

MAX_PROFILE_BYTES = 4_000_000  # those of printing presses have up to 3 MB
MAX_TAGS = 100
KEPT_TRANSFORMS = 8  # most pictures of a collection have one of a few profiles

SPACES = {"RGB": b"RGB ", "L": b"GRAY", "CMYK": b"CMYK"}
CLASSES = (b"mntr", b"scnr", b"prtr", b"spac")
# Of these types each costs some microseconds a pixel at most. "mpet" may hold any number of steps.
COSTLY_TYPES = (b"mpet",)

# A table is made of the whole profile first: so many points along each axis, 14,641 for CMYK.
GRID_POINTS = {"RGB": 21, "L": 33, "CMYK": 11}
SAME = 3  # levels: what is no further from sRGB is taken for it, and the pixels stay as they are


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture in sRGB; as it is where the profile is missing, broken, costly or for another mode.

    It costs some milliseconds for the profile, and as much for each 100,000 pixels: resize before.
    """
    transform = None
    if image.mode == "LAB":
        transform = _from_lab()
    elif profile and image.mode in SPACES and is_plain(profile, image.mode):
        transform = _transform(profile, image.mode)
    return image if transform is None else transform.apply(image)


def is_plain(profile: bytes, mode: str) -> bool:
    """Whether the profile is for pictures of this mode, and of a kind whose cost is bounded."""
    if not 132 <= len(profile) <= MAX_PROFILE_BYTES or profile[36:40] != b"acsp":
        return False
    if profile[12:16] not in CLASSES or profile[16:20] != SPACES[mode] or profile[20:24] not in (b"XYZ ", b"Lab "):
        return False
    (count,) = struct.unpack_from(">I", profile, 128)
    if count > MAX_TAGS or 132 + 12 * count > len(profile):
        return False
    offsets = [struct.unpack_from(">4sII", profile, 132 + 12 * number)[1] for number in range(count)]
    return not any(profile[offset : offset + 4] in COSTLY_TYPES for offset in offsets)


@cached(
    LRUCache(KEPT_TRANSFORMS), key=lambda profile, mode: (hashlib.sha256(profile).digest(), mode), lock=threading.Lock()
)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """None if the profile is broken, or is sRGB's own."""
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            flags=ImageCms.Flags.GRIDPOINTS(GRID_POINTS[mode]),
        )
    except MemoryError:
        raise
    except Exception:
        return None
    return None if mode != "CMYK" and _changes_little(transform, mode) else transform


@cache
def _from_lab() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")


def _changes_little(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    levels = np.linspace(0, 255, 6).astype(np.uint8)
    colours = np.stack(np.meshgrid(*[levels] * 3), -1).reshape(1, -1, 3) if mode == "RGB" else levels[None]
    tried = Image.fromarray(np.ascontiguousarray(colours))
    difference = np.asarray(transform.apply(tried), np.int16) - np.asarray(tried.convert("RGB"), np.int16)
    return bool(np.abs(difference).max() <= SAME)
