"""Every error a user can meet, in one tree.

OpenClipApiError
├── StartupError            ends start-up: one line, exit code 1
│   ├── InvalidSetting      a setting's value is not allowed
│   ├── UnknownModel        no such name, tag, folder or hub repository
│   ├── UnsupportedModel    the checkpoint asks for something this runtime does not build
│   ├── MissingExtra        an optional package is needed
│   ├── CorruptCheckpoint   a file is incomplete, damaged or not what it should be
│   ├── FailedCalibration   a model lost too much in int8
│   ├── InvalidStore        the store is not there, damaged, or of another model
│   ├── HubUnreachable      a download is needed and cannot be made
│   └── FailedSelfCheck     the loaded model gives a test image or text no usable vector
├── RunError                ends embed, index or search: one line, exit code 1
│   ├── InvalidSource       what is to be embedded is not there, or not what it should be
│   │   ├── MissingSource   there is no such file or folder
│   │   └── DamagedSource   an archive or a table cannot be read to its end
│   ├── OtherRun            the folder holds a run with another model, source or format
│   ├── ClusterFailed       the Ray cluster is not there, or one of its nodes cannot do its part
│   ├── ServerFailed        a server does not answer, serves another model or refuses
│   └── CannotWrite         the disk is full, or cannot be written for another reason
└── RequestError            ends one request: carries the field that is wrong
    ├── InvalidRequest      the body is not JSON
    ├── InvalidInput        a field is missing, of the wrong type or empty
    ├── ModelNotFound       a model that is not served here
    ├── ModelMismatch       If-Match names another model's fingerprint
    ├── NotFound            no store, no such item
    ├── StoreUnavailable    the store cannot be read
    ├── ImageUnreachable    the image's URL gave no image
    ├── InvalidImage        the bytes are no image this server reads
    ├── TooLarge            over a limit of bytes, items, characters or pixels
    ├── UnsupportedMedia    a media type that is not served here
    ├── QueueFull           too much is waiting already
    ├── Overloaded          the machine has no memory, process or file descriptor left for it
    ├── BodyTimeout         the request's body did not arrive in time
    ├── DeadlineExceeded    the answer did not come in time
    └── NotReady            the model is still loading, or the server is stopping
"""

from __future__ import annotations

import reprlib

SHORTAGE = "the server is out of memory, processes or open files: send the request again shortly"
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 80


class OpenClipApiError(Exception):
    """The root: catch this to catch everything this package raises on purpose."""


class StartupError(OpenClipApiError):
    """The server cannot start; the message says what to change."""


class InvalidSetting(StartupError):
    pass


class UnknownModel(StartupError):
    pass


class UnsupportedModel(StartupError):
    pass


class MissingExtra(StartupError):
    pass


class CorruptCheckpoint(StartupError):
    pass


class InvalidStore(StartupError):
    pass


class HubUnreachable(StartupError):
    pass


class FailedCalibration(StartupError):
    pass


class FailedSelfCheck(StartupError):
    pass


class RunError(OpenClipApiError):
    """embed, index or search cannot start or continue; the message says why."""


class InvalidSource(RunError):
    pass


class MissingSource(InvalidSource):
    pass


class DamagedSource(InvalidSource):
    pass


class OtherRun(RunError):
    pass


class ClusterFailed(RunError):
    pass


class ServerFailed(RunError):
    pass


class CannotWrite(RunError):
    pass


class RequestError(OpenClipApiError):
    """One request cannot be answered.

    `message` is a sentence for the caller; it never holds what the caller sent.
    `param` names the field, with its index in a list: "image[1]".
    """

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param

    def renewed(self, param: str | None = None) -> RequestError:
        """An equal error, about `param` if that is given, without traceback and cause.

        These hold the frames that the error went through, and with them the request's bytes. An error that is kept,
        such as by a future, must be a renewed one: where a frame also holds the future, nothing is ever freed.
        """
        return type(self)(f"{param}: {self.message}" if param else self.message, param or self.param)


class InvalidRequest(RequestError):
    pass


class InvalidInput(RequestError):
    pass


class ModelNotFound(RequestError):
    pass


class ModelMismatch(RequestError):
    pass


class NotFound(RequestError):
    pass


class StoreUnavailable(RequestError):
    pass


class ImageUnreachable(RequestError):
    pass


class InvalidImage(RequestError):
    pass


class TooLarge(RequestError):
    pass


class UnsupportedMedia(RequestError):
    pass


class QueueFull(RequestError):
    pass


class Overloaded(RequestError):
    pass


class BodyTimeout(RequestError):
    pass


class DeadlineExceeded(RequestError):
    pass


class NotReady(RequestError):
    pass


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its class's name where the message is empty."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def shown(value: object) -> str:
    """A value of a model's file, as an error's one line shows it."""
    return _SHORT.repr(value)
