"""What a file with weights holds, before its tensors get their keys."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FULL = "of a quantised or packed model give the one in full precision"
Arrays: TypeAlias = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Stored:
    """names: of its tensors. arrays: maps the wanted ones, each key in Weights with its stored name → by key.

    arrays raises StartupError.
    """

    names: Collection[str]
    arrays: Callable[[Mapping[str, str]], Arrays]
