"""Decoding in threads: what takes too long frees its caller, and few may be left behind."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

from openclip_api.errors import InvalidImage, Overloaded
from openclip_api.inputs.decoder_threads import DecoderThreads
from openclip_api.inputs.images import Decoded

PIXELS = np.zeros((2, 2, 3), np.uint8)


class Slow:
    def __init__(self) -> None:
        self.go_on = threading.Event()

    def __call__(self, data: bytes) -> Decoded:
        if data == b"slow":
            assert self.go_on.wait(20)
        return Decoded(PIXELS, 2, 2)


def test_what_takes_too_long_frees_its_caller_and_ends_by_itself():
    slow = Slow()
    decoders = DecoderThreads(slow, count=2, seconds=0.1)
    for _ in range(2):
        with pytest.raises(InvalidImage, match="too long"):
            decoders(b"slow")
    with pytest.raises(Overloaded):  # no more than `count` threads are left to themselves
        decoders(b"quick")
    slow.go_on.set()
    for _ in range(200):
        try:
            assert decoders(b"quick").width == 2
            break
        except Overloaded:
            threading.Event().wait(0.02)
    else:
        pytest.fail("the threads that ended still count")
    decoders.close()


def test_one_that_is_left_does_not_hold_up_the_others():
    slow = Slow()
    decoders = DecoderThreads(slow, count=2, seconds=0.1)
    with pytest.raises(InvalidImage, match="too long"):
        decoders(b"slow")
    assert all(decoders(b"quick").height == 2 for _ in range(20))
    slow.go_on.set()
    decoders.close()


class Bytes(bytearray):
    """Can be watched."""


def test_an_error_holds_its_image_no_longer_than_it_lives():
    def refuse(data: bytes) -> Decoded:
        raise InvalidImage("no image")

    decoders = DecoderThreads(refuse, count=1)
    image = Bytes(b"image")
    watched = weakref.ref(image)
    gc.disable()
    try:
        with pytest.raises(InvalidImage):
            decoders(image)  # type: ignore[arg-type]
        decoders_pool_is_idle(decoders)
        del image
        assert watched() is None
    finally:
        gc.enable()
        decoders.close()


def decoders_pool_is_idle(decoders: DecoderThreads) -> None:
    """Its thread has let go of the last image."""
    with pytest.raises(InvalidImage):
        decoders(b"another")
