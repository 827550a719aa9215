"""The formats of image files: one table for IMAGE_FORMATS, suffixes, media types and error messages."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

from ..errors import InvalidSetting, MissingExtra, shown
from .structure.tiff import is_raw

ALL = "ALL"


@dataclass(frozen=True, slots=True)
class ImageFormat:
    """name: as IMAGE_FORMATS and /info have it, which is Pillow's own name where Pillow reads it.

    starts: how its files begin, each an offset and bytes. brands: what its files call themselves, where they are made
    of ISO's boxes; one that calls itself several things is the first of the table.
    is_safe: read on a server by default. Its decoder is small or much used by browsers, and its parts are bounded.
    module, extra: what must be installed to read it beside Pillow, and the extra that brings it.
    """

    name: str
    label: str
    suffixes: tuple[str, ...]
    media_types: tuple[str, ...]
    starts: tuple[tuple[int, bytes], ...]
    brands: tuple[bytes, ...] = ()
    is_safe: bool = False
    feature: str | None = None
    module: str | None = None
    extra: str | None = None
    aliases: tuple[str, ...] = ()


PICTURE_ALONE = {"thumbnails": False, "depth_images": False, "aux_images": False}  # what pi_heif reads of a file
AVIF_BRANDS = (b"avif", b"avis")
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
MOST_BRANDS = 64

FORMATS = (
    # A phone's photo with a second picture in it, MPO, is a JPEG that goes on.
    ImageFormat("JPEG", "JPEG", (".jpg", ".jpeg", ".jfif", ".mpo"), ("image/jpeg", "image/jpg"),
                ((0, b"\xff\xd8\xff"),), is_safe=True, aliases=("JPG", "MPO")),
    ImageFormat("PNG", "PNG", (".png", ".apng"), ("image/png", "image/apng"),
                ((0, b"\x89PNG\r\n\x1a\n"),), is_safe=True, aliases=("APNG",)),
    ImageFormat("WEBP", "WebP", (".webp",), ("image/webp",), ((8, b"WEBP"),), is_safe=True),
    ImageFormat("GIF", "GIF", (".gif",), ("image/gif",), ((0, b"GIF8"),), is_safe=True),
    ImageFormat("BMP", "BMP", (".bmp", ".dib"), ("image/bmp", "image/x-ms-bmp"), ((0, b"BM"),), is_safe=True),
    ImageFormat("AVIF", "AVIF", (".avif", ".avifs"), ("image/avif",), (), AVIF_BRANDS,
                is_safe=True, feature="avif"),
    ImageFormat("TIFF", "TIFF", (".tif", ".tiff"), ("image/tiff",),
                ((0, b"II*\0"), (0, b"MM\0*"), (0, b"II+\0"), (0, b"MM\0+")), aliases=("TIF",)),
    ImageFormat("ICO", "ICO", (".ico",), ("image/x-icon", "image/vnd.microsoft.icon"), ((0, b"\0\0\1\0"),)),
    ImageFormat("JPEG2000", "JPEG 2000", (".jp2", ".j2k", ".j2c", ".jpx", ".jpf"), ("image/jp2", "image/jpx"),
                ((0, b"\0\0\0\x0cjP  "), (0, b"\xff\x4f\xff\x51")), feature="jpg_2000", aliases=("JP2", "J2K")),
    ImageFormat("HEIF", "HEIC", (".heic", ".heif", ".hif"), ("image/heic", "image/heif"),
                (), HEIC_BRANDS,
                module="pi_heif", extra="heic", aliases=("HEIC",)),
    ImageFormat("JXL", "JPEG XL", (".jxl",), ("image/jxl",), ((0, b"\xff\x0a"), (0, b"\0\0\0\x0cJXL ")),
                module="pillow_jxl", extra="jxl", aliases=("JPEGXL",)),
    # Its preview is read. Many raw files begin as a TIFF: see format_of.
    ImageFormat("RAW", "camera raw", (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"),
                ("image/x-adobe-dng",),
                ((0, b"FUJIFILMCCD-RAW "), (4, b"ftypcrx "), (0, b"IIU\0"), (0, b"IIRO"), (0, b"IIRS")),
                module="rawpy", extra="raw", aliases=("DNG",)),
)  # fmt: skip

BY_NAME = {name: format for format in FORMATS for name in (format.name, *format.aliases)}
SAFE_FORMATS = tuple(format.name for format in FORMATS if format.is_safe)
# Raw files mostly lie beside a JPEG of the same picture: without a decoder they are no images, so that none fails.
SUFFIXES = frozenset(
    suffix for format in FORMATS if format.name != "RAW" or find_spec("rawpy") for suffix in format.suffixes
)


def label_of(names: Sequence[str]) -> str:
    """The names in words: JPEG, PNG or WebP."""
    *most, last = (BY_NAME[name].label for name in names)
    return f"{', '.join(most)} or {last}" if most else last


@cache
def is_installed(name: str) -> bool:
    """Whether there is a decoder. The first call for a format that an extra brings makes Pillow know it."""
    from PIL import features

    format = BY_NAME[name]
    if format.feature is not None:
        return bool(features.check(format.feature))
    if format.module is None:
        return True
    try:
        module = importlib.import_module(format.module)  # pillow_jxl makes itself known to Pillow
    except ImportError:
        return False
    if format.module == "pi_heif":
        module.register_heif_opener(**PICTURE_ALONE)
    return True


def installed_formats() -> tuple[str, ...]:
    return tuple(format.name for format in FORMATS if is_installed(format.name))


def format_of(data: bytes) -> ImageFormat | None:
    """What a file is by its first bytes, whether it is read here or not."""
    brands: set[bytes] = set()
    if data[4:8] == b"ftyp":
        end = min(len(data), int.from_bytes(data[:4], "big"), 4 * MOST_BRANDS)
        brands = {data[at : at + 4] for at in range(8, end, 4)}
    for format in FORMATS:
        if brands.intersection(format.brands) or any(data.startswith(start, at) for at, start in format.starts):
            return BY_NAME["RAW"] if format.name == "TIFF" and is_raw(data) else format
    return None


def chosen_formats(names: Iterable[str]) -> tuple[str, ...]:
    """Their names in the table; all that are installed where none is named.

    Raises InvalidSetting for a name that is not in the table, MissingExtra for a format without a decoder.
    """
    chosen = table_names(names)
    for name in chosen:
        if not is_installed(name):
            extra = BY_NAME[name].extra
            how = f"pip install 'openclip-api[{extra}]'" if extra else "this Pillow was built without it"
            raise MissingExtra(f"IMAGE_FORMATS: no decoder for {name}: {how}")
    return chosen or installed_formats()


def table_names(names: Iterable[str]) -> tuple[str, ...]:
    """("JPEG", "TIFF") for ("jpg", "tif"); none for ("all",). Raises InvalidSetting."""
    given = [name.upper() for name in names]
    if given == [ALL]:
        return ()
    for name in given:
        if name not in BY_NAME:
            known = ", ".join(format.name for format in FORMATS)
            raise InvalidSetting(f"IMAGE_FORMATS={shown(name.lower())}: expected all, or some of {known}")
    return tuple(dict.fromkeys(BY_NAME[name].name for name in given))


def not_read(data: bytes, names: Iterable[str]) -> str:
    """Why an image cannot be read, for a client: what is read here, and what this one is if that is known."""
    names = tuple(names)
    message = f"not a {label_of(names)} image"
    found = format_of(data)
    if found is None:
        return message
    if found.name in names:
        return f"{message} that can be decoded: it starts like {found.label}, but is damaged or of a rare kind"
    if not is_installed(found.name):
        return f"{message} but {found.label}: to read these, pip install 'openclip-api[{found.extra}]'"
    return f"{message} but {found.label}, which this server's IMAGE_FORMATS leaves out"
