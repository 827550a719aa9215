from __future__ import annotations

import asyncio

from openclip_api.server.in_flight import InFlightRequests


def test_what_is_given_up_ends_for_that_reason():
    async def scenario() -> None:
        requests = InFlightRequests()
        answered, left, slow = requests.add(), requests.add(), requests.add()
        left.set_result("client gone")
        requests.discard(answered)
        assert len(requests) == 2
        requests.give_up()
        assert requests.gave_up
        assert not answered.done()
        assert (left.result(), slow.result()) == ("client gone", "stopping")

    asyncio.run(scenario())


def test_a_stop_does_not_wait_for_what_comes_later():
    async def scenario() -> None:
        requests = InFlightRequests()
        requests.stopping = True
        requests.add()
        assert len(requests) == 0

    asyncio.run(scenario())
