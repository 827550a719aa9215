from __future__ import annotations

import contextlib

import pytest

from openclip_api.errors import QueueFull
from openclip_api.server.byte_budget import ByteBudget


def test_all_reservations_share_the_budget_and_are_freed_at_their_end():
    budget = ByteBudget(10)
    with budget.reservation() as first, budget.reservation() as second:
        first(4)
        second(6)
        with pytest.raises(QueueFull):
            first(1)
        assert budget.held == 10
    assert budget.held == 0


def test_an_error_frees_what_was_reserved():
    budget = ByteBudget(10)
    with contextlib.suppress(ZeroDivisionError), budget.reservation() as reserve:
        reserve(6)
        raise ZeroDivisionError
    assert budget.held == 0
