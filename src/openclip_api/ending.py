"""How a command ends: with an exit code and at most one line, never with a traceback for what a user did."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
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
    """Until `run` of exit_code there is nothing to clean up."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: _leave(STARTS_AGAIN))


def exit_code(run: Callable[[], int], goes_on: bool) -> int:
    """What `run` returns; for an error that a user can meet one line on stderr and 1. 141 if nobody reads stdout.

    goes_on: whether the same command does the rest, where it was interrupted.
    """
    line = GOES_ON if goes_on else STARTS_AGAIN
    try:
        with _Interrupts(line):
            code = run()
        sys.stdout.flush()
    except (StartupError, RunError) as error:
        _say(str(error))
    except KeyboardInterrupt:
        _say(line)
        return INTERRUPTED
    except BrokenPipeError:  # as of `| head`: that is no error of this command
        return NOBODY_READS
    except OSError as error:  # of stdout too, which may be a file on a full disk
        _say(f"{error.filename or 'the output'}: {error.strerror or error}")
    else:
        return code
    return 1


class _Interrupts:
    """Ctrl-C while a command runs is a KeyboardInterrupt, so that the command closes what it has open.

    Where extensions would swallow that or make another error of it, the process ends at once.
    """

    def __init__(self, line: str) -> None:
        self._line = line
        self._came = False

    def __enter__(self) -> None:
        self._handler, self._hook = signal.getsignal(signal.SIGINT), sys.unraisablehook
        if self._handler is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._interrupt)
        sys.unraisablehook = self._unraisable

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Raises KeyboardInterrupt for an error that came of one."""
        signal.signal(signal.SIGINT, self._handler)
        sys.unraisablehook = self._hook
        if self._came and error is not None:
            raise KeyboardInterrupt from error

    def _interrupt(self, _: int, frame: FrameType | None) -> None:
        if _is_importing(frame):  # a module may do without one that could not be imported
            _leave(self._line)
        self._came = True
        raise KeyboardInterrupt

    def _unraisable(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Python calls this for an error in a destructor, or in a function of an extension that cannot fail."""
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            _leave(self._line)
        self._hook(unraisable)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__") == "importlib._bootstrap":
            return True
        frame = frame.f_back
    return False


def end(code: int) -> NoReturn:
    """End the process without Python's own shutdown, once everything is written and closed.

    Beside OpenVINO's threads that shutdown crashed about once in a hundred times, which made a clean exit a failure.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _leave(line: str) -> NoReturn:
    _say(line)
    os._exit(INTERRUPTED)


def _say(message: str) -> None:
    with contextlib.suppress(OSError):
        print(f"openclip-api: {message}", file=sys.stderr, flush=True)
