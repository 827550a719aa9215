"""ICC profiles, written by their specification (ICC.1:2022): matrices with curves, grey curves, tables of CMYK."""

from __future__ import annotations

import struct

import numpy as np
from PIL import Image, ImageCms

# Chromatically adapted to D50, as in the profiles that Apple and Adobe ship.
SRGB = [(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)]
DISPLAY_P3 = [(0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)]
ADOBE_RGB = [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)]
SRGB_NUMBERS = (2.4, 0.947867, 0.052133, 0.077399, 0.04045)
SRGB_CURVE = b"para" + struct.pack(">IHHiiiii", 0, 3, 0, *(round(number * 65536) for number in SRGB_NUMBERS))


def gamma(value: float) -> bytes:
    return b"curv" + struct.pack(">IIH", 0, 1, round(value * 256))


def ramp(entries: int) -> bytes:
    """A curve as a table."""
    return b"curv" + struct.pack(">II", 0, entries) + np.linspace(0, 65535, entries).astype(">u2").tobytes()


def xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + struct.pack(">Iiii", 0, *(round(value * 65536) for value in values))


def profile(space: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr", pcs: bytes = b"XYZ ") -> bytes:
    at, table, data = 132 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, at + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    body = struct.pack(">I", len(tags)) + table + data
    header = struct.pack(">I4sI4s4s4s12s4s4s16sI", 128 + len(body), bytes(4), 0x04300000, kind, space, pcs, bytes(12),
                         b"acsp", bytes(4), bytes(16), 0)  # fmt: skip
    illuminant = struct.pack(">iii", *(round(value * 65536) for value in (0.9642, 1.0, 0.8249)))
    return (header + illuminant).ljust(128, b"\0") + body


def rgb_profile(primaries: list[tuple[float, float, float]], curve: bytes = SRGB_CURVE) -> bytes:
    colours = dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(xyz, primaries), strict=True))
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    return profile(b"RGB ", {b"wtpt": xyz((0.9642, 1.0, 0.8249)), **colours, **curves})


def grey_profile(curve: bytes) -> bytes:
    return profile(b"GRAY", {b"wtpt": xyz((0.9642, 1.0, 0.8249)), b"kTRC": curve})


def cmyk_profile(points: int = 5, curve_entries: int = 2) -> bytes:
    """A table of Lab values: ink takes light away more strongly than Pillow's own conversion says."""
    axes = np.meshgrid(*[np.linspace(0, 1, points)] * 4, indexing="ij")
    cyan, magenta, yellow, black = axes
    lightness = 100 * (1 - black) * (1 - 0.3 * cyan) * (1 - 0.5 * magenta) * (1 - 0.1 * yellow)
    a = 60 * (magenta - cyan) * (1 - black)
    b = (70 * yellow - 40 * cyan - 10 * magenta) * (1 - black)
    table = np.stack([lightness / 100 * 255, a + 128, b + 128], -1).round().clip(0, 255).astype(np.uint8)
    identity = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    ramp = bytes(range(256))
    lut = b"mft1" + struct.pack(">IBBBB", 0, 4, 3, points, 0) + identity + ramp * 4 + table.tobytes() + ramp * 3
    return profile(b"CMYK", {b"A2B0": lut, b"wtpt": xyz((0.9642, 1.0, 0.8249))}, b"prtr", b"Lab ")


def in_lab(picture: Image.Image) -> Image.Image:
    """CIELab of eight bits."""
    return ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB").apply(
        picture
    )
