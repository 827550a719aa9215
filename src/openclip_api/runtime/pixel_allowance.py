"""How many pixels one request may have decoded: a file of a few hundred bytes can hold as many as an image may have."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from ..errors import TooLarge

LARGEST_IMAGES = 4  # of as many pixels as one may have, whatever their files are
PIXELS_PER_BYTE = 64  # photographs have 2 to 16, drawings and screens up to some 100


class PixelAllowance:
    """For the images of one request, of so many bytes in all. max_pixels: of one image."""

    def __init__(self, max_pixels: float, image_bytes: int) -> None:
        self._most = LARGEST_IMAGES * max_pixels + PIXELS_PER_BYTE * image_bytes
        self._taken = 0

    @property
    def are_left(self) -> bool:
        return self._taken <= self._most

    def refuse(self, waiter: Future[Any]) -> None:
        """The future of an image that is one too many gets TooLarge."""
        if waiter.set_running_or_notify_cancel():
            waiter.set_exception(
                TooLarge(
                    f"the request's images have more than {self._most / 1e6:.0f} megapixels together ({LARGEST_IMAGES} "
                    f"times MAX_IMAGE_MEGAPIXELS plus {PIXELS_PER_BYTE} for each of their bytes): send fewer at once"
                )
            )

    def take(self, pixels: int) -> None:
        """They are decoded."""
        self._taken += pixels
