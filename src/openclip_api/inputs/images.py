"""An image's bytes → uint8 pixels, exactly as open_clip's PIL transforms make them.

Source: open_clip/transform.py, image_transform (3.3.0) over torchvision's Resize and CenterCrop on PIL images.

The image is read as open_clip reads it, bit by bit. It is resized in its own mode and converted to RGB after that. So a
palette image is resized without smoothing, and an alpha channel is dropped, which shows its hidden colours. EXIF
orientation and colour profiles are ignored. Of an animation, the first frame is used. One difference can be switched
on: see SCALING_MARGIN.

Models in transformers' layout ask for its way (PreprocessConfig.convert_first): transformers/image_transforms.py,
convert_to_rgb, then image_processing_backends.py (5.24.0).
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
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from ..checkpoints.config import PreprocessConfig
from ..errors import InvalidImage, TooLarge
from .image_structure import check_structure

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
NOT_AN_IMAGE = "not a JPEG, PNG, WebP, GIF or BMP image"

# A 1 x 50,000 image would grow to 224 x 11,200,000 pixels when its short side is resized.
MAX_ASPECT_RATIO = 100

# libjpeg can decode to a half, a quarter or an eighth of the size. That saves most of the work on a camera's photo.
# If at least twice the wanted size is left for the resize that follows, vectors stay within a cosine of 0.9999.
SCALING_MARGIN = 2

BYTES_PER_PIXEL = 16  # an image may be decoded, resized and converted in memory at the same time

# Pillow loads its formats with the first image that needs them. Later there may be no file descriptor left for it.
Image.init()

Pixels = NDArray[np.uint8]  # [size, size, 3]
Resize = Callable[[Image.Image, tuple[int, int]], Image.Image]


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the model sees of an image, and the image's own width and height in pixels."""

    pixels: Pixels
    width: int
    height: int


ReadImage = Callable[[bytes], Decoded]


def image_reader(config: PreprocessConfig, max_megapixels: float = 40, scale_jpegs: bool = False) -> ReadImage:
    """A function that decodes and resizes an encoded image. Safe to call from several threads.

    scale_jpegs: decode large JPEGs to a fraction of their size. Everything else is exact.

    The function raises InvalidImage (unreadable, cut short, too long and thin), TooLarge (more pixels than
    max_megapixels; the header tells, before anything is decoded), and MemoryError where the memory that the image may
    take is not there.
    """
    resampling = Image.Resampling.BILINEAR if config.interpolation == "bilinear" else Image.Resampling.BICUBIC
    resize = partial(_resize, resampling=resampling, scale_jpegs=scale_jpegs)
    fit = {"shortest": _shortest, "squash": _squash, "longest": _longest}[config.resize_mode]

    def read(data: bytes) -> Decoded:
        image = open_image(data, max_megapixels)
        width, height = image.size  # of the file: decoding to a fraction changes the image's own
        try:
            fitted = fit(_rgb(image) if config.convert_first else image, config, resize).convert("RGB")
        except MemoryError:
            raise
        except Exception as error:  # a damaged file can fail anywhere inside a decoder, with any error
            if not memory_left(width * height):  # libjpeg tells a lack of memory as a damaged file
                raise MemoryError from error
            raise InvalidImage(_reason(error)) from error
        return Decoded(np.asarray(fitted), width, height)

    return read


def open_image(data: bytes, max_megapixels: float = math.inf) -> Image.Image:
    """Read the header only, and check what it declares. Raises InvalidImage, TooLarge."""
    check_structure(data)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooLarge(f"the image has more than {max_megapixels:g} megapixels") from error
    except UnidentifiedImageError as error:
        raise InvalidImage(NOT_AN_IMAGE) from error
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
    """Width and height from an image's header. Raises InvalidImage."""
    return open_image(data).size


def _rgb(image: Image.Image) -> Image.Image:
    """What is transparent becomes white. A grey or RGB image needs no change before the resize."""
    if "A" in image.getbands() or image.info.get("transparency") is not None:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode in ("RGB", "L") else image.convert("RGB")


def _shortest(image: Image.Image, config: PreprocessConfig, resize: Resize) -> Image.Image:
    """The short side becomes `size`, the middle is cut out."""
    width, height = image.size
    short, long = sorted((width, height))
    wanted = config.resized_size or config.size
    # torchvision truncates the long side: 640 x 427 becomes 335 x 224
    resized_long = int(wanted * long / short)
    size = (wanted, resized_long) if width <= height else (resized_long, wanted)
    return _centre_crop(resize(image, size), config)


def _squash(image: Image.Image, config: PreprocessConfig, resize: Resize) -> Image.Image:
    """Both sides become `size`, whatever the shape."""
    side = config.resized_size or config.size
    resized = resize(image, (side, side))
    return resized if side == config.size else _centre_crop(resized, config)


def _longest(image: Image.Image, config: PreprocessConfig, resize: Resize) -> Image.Image:
    """The long side becomes `size`, the rest is filled: open_clip's ResizeKeepRatio and CenterCropOrPad."""
    ratio = max(image.size) / config.size
    width, height = (round(side / ratio) for side in image.size)
    resized = resize(image, (width, height))
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


def _resize(image: Image.Image, size: tuple[int, int], resampling: Image.Resampling, scale_jpegs: bool) -> Image.Image:
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
