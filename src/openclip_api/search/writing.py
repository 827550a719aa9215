"""What goes wrong where a store is written to, as one line."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import CannotWrite, first_line


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises CannotWrite for whatever is raised inside. path: of the store."""
    try:
        yield
    except OSError as error:
        raise CannotWrite(
            f"{path}: {error.strerror or first_line(error)}; run the same command again to continue"
        ) from error
    except Exception as error:  # Lance has one type for many errors, and ends with a place in its source code
        message = re.sub(r", /\S+:\d+:\d+$", "", first_line(error)).rpartition("LanceError(IO): ")[2]
        raise CannotWrite(f"{path}: {message}; run the same command again to continue") from error
