"""What a request asks to embed: named texts and images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...errors import TooLarge
from ...inputs.base64_image import decode_image
from ...runtime.embedding import Kind

MAX_TEXT_CHARACTERS = 100_000


@dataclass(frozen=True)
class ImageURL:
    """Where an image lies that is not here yet."""

    url: str


@dataclass(frozen=True)
class Item:
    """`param` names it in an error: "image", or "image[1]" where there are several."""

    kind: Kind
    content: str | bytes | ImageURL
    param: str


def text_item(text: str, param: str) -> Item:
    """Raises TooLarge for a text that is beyond all use."""
    if len(text) > MAX_TEXT_CHARACTERS:
        raise TooLarge(f"{param}: longer than {MAX_TEXT_CHARACTERS} characters", param)
    return Item("text", text, param)


def image_item(image: str, param: str) -> Item:
    """An image as base64, data URI or URL. Raises InvalidInput."""
    if image[:8].lower().startswith(("http://", "https://")):
        return Item("image", ImageURL(image), param)
    return Item("image", decode_image(image, param), param)


# One after the other as they are asked for: who counts them need not build what is over the limit.


def text_items(field: str, texts: Sequence[str]) -> Iterator[Item]:
    """A field's texts, each named. Raises TooLarge."""
    return (text_item(text, name(field, index, texts)) for index, text in enumerate(texts))


def image_items(field: str, images: Sequence[str]) -> Iterator[Item]:
    """A field's images, each named. Raises InvalidInput."""
    return (image_item(image, name(field, index, images)) for index, image in enumerate(images))


def name(field: str, index: int, values: Sequence[object]) -> str:
    """What an error calls one of a field's values; the index counts only where there are several."""
    return field if len(values) == 1 else f"{field}[{index}]"
