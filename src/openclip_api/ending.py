"""How a command ends: with an exit code and at most one line, never with a traceback for what a user did."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from .errors import RunError, StartupError

INTERRUPTED, NOBODY_READS = 128 + signal.SIGINT, 141  # 141: 128 + SIGPIPE, as a shell has it
GOES_ON = "interrupted; run the same command again to continue"
STARTS_AGAIN = "interrupted; run the same command again to start over"


def open_output() -> None:
    """A process may be started without stdout or stderr; what is printed then goes nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  # until the process ends


def leave_on_ctrl_c() -> None:
    """Until `run` of exit_code: while modules are imported, an exception would become a traceback or another error."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: _leave())


def exit_code(run: Callable[[], int], goes_on: bool) -> int:
    """What `run` returns; for an error that a user can meet one line on stderr and 1. 141 if nobody reads stdout.

    goes_on: whether the same command does the rest, where it was interrupted.
    """
    try:
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = run()
        sys.stdout.flush()
    except (StartupError, RunError) as error:
        _say(str(error))
    except (KeyboardInterrupt, ImportError) as error:
        if not _is_interrupt(error):
            raise
        _say(GOES_ON if goes_on else STARTS_AGAIN)
        return INTERRUPTED
    except BrokenPipeError:  # as of `| head`: that is no error of this command
        return NOBODY_READS
    except OSError as error:  # of stdout too, which may be a file on a full disk
        _say(f"{error.filename or 'the output'}: {error.strerror or error}")
    else:
        return code
    return 1


def end(code: int) -> NoReturn:
    """End the process without Python's own shutdown, once everything is written and closed.

    Beside OpenVINO's threads that shutdown crashed about once in a hundred times, which made a clean exit a failure.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _is_interrupt(error: BaseException) -> bool:
    """A module in C++ that is interrupted while it is imported makes an ImportError of it."""
    return isinstance(error, KeyboardInterrupt) or isinstance(error.__cause__, KeyboardInterrupt)


def _leave() -> NoReturn:
    _say(STARTS_AGAIN)
    os._exit(INTERRUPTED)


def _say(message: str) -> None:
    with contextlib.suppress(OSError):
        print(f"openclip-api: {message}", file=sys.stderr, flush=True)
