"""An image as clients put it into JSON: base64, perhaps inside a data URI."""

from __future__ import annotations

import binascii
import re

import pybase64

from ..errors import InvalidInput

# RFC 2397, with the parameters that senders add; the media type is not trusted, the bytes decide.
DATA_URI = re.compile(r"data:(?:image/[\w.+-]+|application/octet-stream)?(?:;[\w.+-]+=[^;,]*)*;base64,", re.IGNORECASE)
LONGEST_DATA_URI_HEADER = 256
URL_SAFE = str.maketrans("-_", "+/")
LINE_BREAKS = str.maketrans("", "", "\r\n")


def decode_image(text: str, param: str) -> bytes:
    """Standard or URL-safe base64, with or without padding and line breaks, plain or as a data URI.

    Raises InvalidInput, naming `param`.
    """
    if text[:5].lower() == "data:":
        header = DATA_URI.match(text[:LONGEST_DATA_URI_HEADER])
        if header is None:
            raise InvalidInput(f"{param}: a data URI must read data:image/...;base64,...", param)
        text = text[header.end() :]
    if not text.isascii():  # or what follows would take a second for 30 MB of it
        raise InvalidInput(f"{param}: not valid base64", param)
    # Each pass over a camera's picture takes a millisecond of the event loop, so only what is needed is done.
    if "\n" in text or "\r" in text:
        text = text.translate(LINE_BREAKS)
    if "-" in text or "_" in text:
        text = text.translate(URL_SAFE)
    text = text.rstrip("=")
    if not text:
        raise InvalidInput(f"{param}: empty", param)
    try:
        return pybase64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(f"{param}: not valid base64", param) from error
