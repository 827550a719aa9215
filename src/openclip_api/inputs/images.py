"""An image's bytes → uint8 pixels, as open_clip's PIL transforms make them.

Source: open_clip/transform.py, image_transform (3.3.0) over torchvision's Resize and CenterCrop on PIL images.

There are two readings. "open_clip" is open_clip's own, bit by bit: a picture is resized in its own mode and converted
to RGB after that. So a palette image is resized without smoothing, and an alpha channel is dropped, which shows its
hidden colours. EXIF orientation and colour profiles are ignored. "natural" shows the picture as people see it
(natural_reading.py), and gives the same pixels where a file has none of these. Of an animation, the first frame is
used. One difference can be switched on: see SCALING_MARGIN.

A model in transformers' layout has transformers' reading in place of open_clip's (PreprocessConfig.convert_first):
transformers/image_transforms.py, convert_to_rgb, then image_processing_backends.py (5.24.0).
"""

from __future__ import annotations

import io
import math
import mmap
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from ..checkpoints.config import PreprocessConfig
from ..errors import InvalidImage, TooLarge
from .formats import SAFE_FORMATS, format_of, installed_formats, not_read
from .natural_reading import Prepared, prepared
from .raw_preview import raw_preview
from .structure.check import check_structure

READINGS = ("natural", "open_clip")

# A 1 x 50,000 image would grow to 224 x 11,200,000 pixels when its short side is resized.
MAX_ASPECT_RATIO = 100

# libjpeg can decode to a half, a quarter or an eighth of the size. That saves most of the work on a camera's photo.
# If at least twice the wanted size is left for the resize that follows, vectors stay within a cosine of 0.9999.
SCALING_MARGIN = 2

BYTES_PER_PIXEL = 16  # an image may be decoded, resized and converted in memory at the same time

# Pillow loads its formats with the first image that needs them. Later there may be no file descriptor left for it.
Image.init()

Pixels = NDArray[np.uint8]  # [size, size, 3]
Size = tuple[int, int]  # width, height
Resize = Callable[[Image.Image, Size], Image.Image]


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the model sees of an image, and the image's own width and height in pixels."""

    pixels: Pixels
    width: int
    height: int


ReadImage = Callable[[bytes], Decoded]


def image_reader(
    config: PreprocessConfig,
    max_megapixels: float = 40,
    scale_jpegs: bool = False,
    reading: str = "open_clip",
    formats: tuple[str, ...] = SAFE_FORMATS,
) -> ReadImage:
    """A function that decodes and resizes an encoded image. Safe to call from several threads.

    scale_jpegs: decode large JPEGs to a fraction of their size. Everything else is exact.
    reading: one of READINGS. formats: names of formats.FORMATS that are read.

    The function raises InvalidImage (unreadable, cut short, too long and thin), TooLarge (more pixels than
    max_megapixels; the header tells, before anything is decoded), and MemoryError where the memory that the image may
    take is not there.
    """
    resampling = Image.Resampling.BILINEAR if config.interpolation == "bilinear" else Image.Resampling.BICUBIC
    resize = partial(_resize, resampling=resampling, scale_jpegs=scale_jpegs)
    own_reading = _rgb_first if config.convert_first else _as_it_is
    prepare = {"natural": prepared, "open_clip": own_reading}[reading]

    def read(data: bytes) -> Decoded:
        image = open_image(data, max_megapixels, formats)
        width, height = image.size  # of the file: decoding to a fraction changes the image's own
        try:
            fitted = _fitted(prepare(image, data), config, resize)
        except MemoryError:
            raise
        except Exception as error:  # a damaged file can fail anywhere inside a decoder, with any error
            if not memory_left(width * height):  # libjpeg tells a lack of memory as a damaged file
                raise MemoryError from error
            raise InvalidImage(_reason(error)) from error
        return Decoded(np.asarray(fitted), width, height)

    return read


def open_image(
    data: bytes, max_megapixels: float = math.inf, formats: tuple[str, ...] = SAFE_FORMATS
) -> ImageFile.ImageFile:
    """Read the header only, and check what it declares. Raises InvalidImage, TooLarge."""
    found = format_of(data)
    if found is not None and found.name not in formats:
        raise InvalidImage(not_read(data, formats))
    if found is not None and found.name == "RAW":
        data = raw_preview(data)
    check_structure(data, max_megapixels * 1e6)
    try:
        image = Image.open(io.BytesIO(data), formats=[name for name in formats if name != "RAW"])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooLarge(f"the image has more than {max_megapixels:g} megapixels") from error
    except UnidentifiedImageError as error:
        raise InvalidImage(not_read(data, formats)) from error
    except MemoryError:
        raise
    except Exception as error:
        if math.isfinite(max_megapixels) and not memory_left(max_megapixels * 1e6):  # WebP is decoded here
            raise MemoryError from error
        raise InvalidImage(_reason(error)) from error
    width, height = image.size
    if width * height > max_megapixels * 1e6:
        raise TooLarge(f"the image has {width} x {height} pixels, more than {max_megapixels:g} megapixels")
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise InvalidImage(f"the image is {width} x {height}: one side is over {MAX_ASPECT_RATIO} times the other")
    return image


def memory_left(pixels: float) -> bool:
    """Whether the memory that an image of so many pixels may take can be had. None of it is touched."""
    try:
        mmap.mmap(-1, max(1, int(pixels * BYTES_PER_PIXEL))).close()
    except (OSError, MemoryError):
        return False
    return True


def image_size(data: bytes) -> tuple[int, int]:
    """Width and height from the header of an image in any format that is installed. Raises InvalidImage."""
    return open_image(data, formats=installed_formats()).size


def _as_it_is(image: ImageFile.ImageFile, _: bytes) -> Prepared:
    return Prepared(image, turn=lambda picture: picture, finish=lambda picture: picture)


def _rgb_first(image: ImageFile.ImageFile, _: bytes) -> Prepared:
    """What is transparent becomes white. A grey or RGB image needs no change before the resize."""
    picture: Image.Image = image
    if "A" in image.getbands() or image.info.get("transparency") is not None:
        picture = image.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", image.size, "white"), picture)
    picture = picture if picture.mode in ("RGB", "L") else picture.convert("RGB")
    return Prepared(picture, turn=lambda picture: picture, finish=lambda picture: picture)


def _fitted(prepared: Prepared, config: PreprocessConfig, resize: Resize) -> Image.Image:
    """RGB, [size, size]. The wanted size is the same on its side, so the picture is turned when it is small."""
    size = {"shortest": _shortest, "squash": _squash, "longest": _longest}[config.resize_mode]
    wanted = config.resized_size or config.size
    picture = prepared.turn(resize(prepared.picture, size(prepared.picture.size, wanted)))
    if config.resize_mode == "shortest" or wanted != config.size:
        picture = _centre_crop(picture, config)
    picture = prepared.finish(picture)
    if config.resize_mode == "longest":
        picture = _padded(picture, config)
    return picture.convert("RGB")


def _shortest(size: Size, wanted: int) -> Size:
    """The short side becomes `wanted`; the middle is cut out later."""
    width, height = size
    short, long = sorted(size)
    # torchvision truncates the long side: 640 x 427 becomes 335 x 224
    resized_long = int(wanted * long / short)
    return (wanted, resized_long) if width <= height else (resized_long, wanted)


def _squash(size: Size, wanted: int) -> Size:
    """Both sides become `wanted`, whatever the shape."""
    return (wanted, wanted)


def _longest(size: Size, wanted: int) -> Size:
    """The long side becomes `wanted`, the rest is filled later: open_clip's ResizeKeepRatio."""
    ratio = max(size) / wanted
    return (round(size[0] / ratio), round(size[1] / ratio))


def _padded(resized: Image.Image, config: PreprocessConfig) -> Image.Image:
    """open_clip's CenterCropOrPad."""
    width, height = resized.size
    left, top = (config.size - width) // 2, (config.size - height) // 2
    if (width, height) == (config.size, config.size):
        return resized
    # as torchvision's pad does for a PIL image: one fill value for every band
    canvas = Image.new(resized.mode, (config.size, config.size), _fill(resized, config.fill_color))
    if resized.mode == "P" and (palette := resized.getpalette()) is not None:
        canvas.putpalette(palette)
    canvas.paste(resized, (left, top))
    return canvas


def _fill(image: Image.Image, value: int) -> int | tuple[int, ...]:
    bands = len(image.getbands())
    return value if bands == 1 else (value,) * bands


def _resize(image: Image.Image, size: Size, resampling: Image.Resampling, scale_jpegs: bool) -> Image.Image:
    if image.size == size:
        return image
    box = None
    if scale_jpegs and isinstance(image, JpegImageFile):  # nothing is decoded yet
        drafted = image.draft(None, (SCALING_MARGIN * size[0], SCALING_MARGIN * size[1]))
        box = drafted[1] if drafted else None  # the picture may end within the last pixel
    return image.resize(size, resampling, box)


def _centre_crop(image: Image.Image, config: PreprocessConfig) -> Image.Image:
    # Python's round, as in torchvision: a half goes to the even side. transformers always rounds down.
    rounded: Callable[[float], int] = int if config.convert_first else round
    left, top = (rounded((side - config.size) / 2.0) for side in image.size)
    return image.crop((left, top, left + config.size, top + config.size))


def _reason(error: Exception) -> str:
    """Pillow's messages name parts of the file's structure, never its content."""
    detail = str(error).strip().splitlines()
    return f"the image cannot be decoded: {detail[0][:120]}" if detail else "the image cannot be decoded"
