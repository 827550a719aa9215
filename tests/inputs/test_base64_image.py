"""What base64 may look like is tested through the server; here is what it may cost."""

from __future__ import annotations

import time

import pytest

from openclip_api.errors import InvalidInput
from openclip_api.inputs.base64_image import decode_image


@pytest.mark.parametrize("end", ["\n", "-", ""])
@pytest.mark.parametrize("start", ["", "data:image/png;base64,"])
def test_what_is_no_ascii_is_refused_at_once(start: str, end: str):
    text = start + "\u00e9" * 5_000_000 + end
    started = time.thread_time()
    with pytest.raises(InvalidInput, match="not valid base64"):
        decode_image(text, "image")
    assert time.thread_time() - started < 0.1
