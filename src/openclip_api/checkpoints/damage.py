"""The last guard around reading a checkpoint's files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import CorruptCheckpoint, StartupError, UnsupportedModel, first_line

LONGEST = 300  # characters of a library's message


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """What is read here comes from `name`: whatever that raises becomes one line with this name.

    The checks inside name the field. This is for what they have not foreseen, in this program or in a library, and for
    panics in a library that is written in Rust, which are no Exceptions.
    Raises StartupError.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except MemoryError as error:
        raise StartupError(f"{name}: there is not enough memory to load it") from error
    except (CorruptCheckpoint, UnsupportedModel) as error:
        if re.sub("^[^/]*:(?=.*/)", "", name) in str(error):  # without "local-dir:", or "ViT-B-32:" before a path
            raise
        raise type(error)(f"{name}: {error}") from error
    except StartupError:
        raise
    except BaseException as error:
        raise CorruptCheckpoint(
            f"{name} cannot be read ({type(error).__name__}: {first_line(error)[:LONGEST]})"
        ) from error
