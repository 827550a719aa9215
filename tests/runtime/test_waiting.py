"""The waiting policy on a clock of the test's own. With the batcher around it: test_batching.py."""

from __future__ import annotations

import pytest

from openclip_api.runtime.waiting import RETURN_SECONDS, WaitingPolicy


@pytest.fixture
def policy() -> WaitingPolicy[str]:
    return WaitingPolicy()


def test_an_idle_engine_starts_at_once(policy: WaitingPolicy[str]):
    policy.settle(policy.announce("text"))
    assert policy.waits_until("text", 100.0) <= 100.0


def test_clients_that_were_answered_may_return(policy: WaitingPolicy[str]):
    policy.pass_ended("text", jobs=3, seconds=0.1, now=100.0)
    policy.settle(policy.announce("text"))
    assert policy.waits_until("text", 100.001) == pytest.approx(100.0 + RETURN_SECONDS)
    policy.settle(policy.announce("text"))
    policy.settle(policy.announce("text"))
    assert policy.waits_until("text", 100.002) <= 100.002


def test_it_waits_for_returning_clients_no_longer_than_the_pass_took(policy: WaitingPolicy[str]):
    policy.pass_ended("text", jobs=3, seconds=0.002, now=100.0)
    policy.settle(policy.announce("text"))
    assert policy.waits_until("text", 100.001) == pytest.approx(100.002)
    assert policy.waits_until("text", 100.002) <= 100.002


def test_a_single_client_waits_for_nobody(policy: WaitingPolicy[str]):
    policy.pass_ended("text", jobs=1, seconds=0.1, now=100.0)
    policy.settle(policy.announce("text"))
    assert policy.waits_until("text", 100.0001) <= 100.0001


def test_announced_jobs_get_as_long_as_a_pass_takes(policy: WaitingPolicy[str]):
    policy.pass_ended("image", jobs=1, seconds=0.05, now=99.0)
    decoding = policy.announce("image")
    policy.settle(policy.announce("image"))
    assert policy.waits_until("image", 100.0) == pytest.approx(100.05)
    policy.settle(decoding)
    assert policy.waits_until("image", 100.01) <= 100.01


def test_jobs_that_are_announced_during_the_wait_are_not_waited_for(policy: WaitingPolicy[str]):
    policy.pass_ended("image", jobs=1, seconds=0.05, now=99.0)
    decoding = policy.announce("image")
    policy.waits_until("image", 100.0)
    policy.announce("image")
    policy.settle(decoding)
    assert policy.waits_until("image", 100.01) <= 100.01


def test_keys_wait_for_their_own_jobs_only(policy: WaitingPolicy[str]):
    policy.pass_ended("text", jobs=8, seconds=1.0, now=100.0)
    policy.announce("text")
    policy.settle(policy.announce("image"))
    assert policy.waits_until("image", 100.0) <= 100.0


def test_a_ticket_is_settled_once(policy: WaitingPolicy[str]):
    ticket = policy.announce("text")
    assert policy.settle(ticket)
    assert not policy.settle(ticket)
