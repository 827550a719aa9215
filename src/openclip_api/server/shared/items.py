"""What a request asks to embed: texts and images, each with a name for error messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...errors import InvalidInput, TooLarge
from ...inputs.base64_image import decode_image
from ...runtime.embedding import Kind

MAX_TEXT_CHARACTERS = 100_000

# A picture of one pixel, for the examples in OpenAPI.
EXAMPLE_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@dataclass(frozen=True)
class ImageURL:
    """The address of an image that is not fetched yet."""

    url: str


@dataclass(frozen=True)
class Item:
    """`param` names the item in an error: "image", or "image[1]" if there are several."""

    kind: Kind
    content: str | bytes | ImageURL
    param: str


def text_item(text: str, param: str) -> Item:
    """Raises TooLarge for a text that is far too long for any model, InvalidInput for one that is not Unicode."""
    if len(text) > MAX_TEXT_CHARACTERS:
        raise TooLarge(f"{param}: longer than {MAX_TEXT_CHARACTERS} characters", param)
    try:
        text.encode()
    except UnicodeEncodeError as error:  # half of a surrogate pair: the text was cut inside an emoji
        raise InvalidInput(f"{param}: not valid Unicode", param) from error
    return Item("text", text, param)


def is_url(image: str) -> bool:
    return image[:8].lower().startswith(("http://", "https://"))


def image_item(image: str, param: str) -> Item:
    """An image as base64, data URI or URL. Raises InvalidInput."""
    if is_url(image):
        return Item("image", ImageURL(image), param)
    return Item("image", decode_image(image, param), param)


# These are iterators, so that a request with too many items is refused before all its items are built.


def text_items(field: str, texts: Sequence[str]) -> Iterator[Item]:
    """The items of a field's texts. Raises TooLarge."""
    return (text_item(text, name(field, index, texts)) for index, text in enumerate(texts))


def image_items(field: str, images: Sequence[str]) -> Iterator[Item]:
    """The items of a field's images. Raises InvalidInput."""
    return (image_item(image, name(field, index, images)) for index, image in enumerate(images))


def name(field: str, index: int, values: Sequence[object]) -> str:
    """What an error calls one of a field's values. The index is left out if there is only one value."""
    return field if len(values) == 1 else f"{field}[{index}]"
