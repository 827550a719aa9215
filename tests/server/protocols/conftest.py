from __future__ import annotations

import base64

import pytest

from ...conftest import Encode


@pytest.fixture
def images(photo: Encode) -> list[str]:
    return [base64.b64encode(photo(name)).decode() for name in ("astronaut", "coffee")]
