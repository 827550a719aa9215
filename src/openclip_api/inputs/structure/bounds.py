"""What all formats share."""

from __future__ import annotations

from ...errors import InvalidImage

MAX_EXIF_BYTES = 256_000  # a directory of EXIF costs Pillow five microseconds an entry


def refuse_over(limit: float, count: float, what: str) -> None:
    if count > limit:
        raise InvalidImage(
            f"the image has more than {limit:.0f} {what}: save it again, without metadata or compression"
        )
