"""A camera's raw file → the JPEG inside it, as the camera's own screen shows it. Needs the extra raw."""

from __future__ import annotations

import io

from ..errors import InvalidImage

NO_PREVIEW = "the camera's raw file has no readable JPEG inside: convert it to a JPEG"


def raw_preview(data: bytes) -> bytes:
    """The largest one, with the file's orientation in its EXIF. Nothing of the raw pixels is decoded.

    Raises InvalidImage.
    """
    import rawpy

    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            preview = raw.extract_thumb()
    except MemoryError:
        raise
    except Exception as error:  # LibRaw has many errors for a damaged file
        raise InvalidImage(NO_PREVIEW) from error
    if preview.format != rawpy.ThumbFormat.JPEG:
        raise InvalidImage(NO_PREVIEW)
    return bytes(preview.data)
