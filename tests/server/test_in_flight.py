from __future__ import annotations

import asyncio

from openclip_api.server.in_flight import InFlightRequests
from openclip_api.server.interruptible import Interruptible


async def work(requests: InFlightRequests, made: list[Interruptible]) -> str:
    request = Interruptible()
    made.append(request)
    requests.add(request)
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        if not request.caught():
            raise
        await asyncio.sleep(0)  # it can go on
        return str(request.why)
    finally:
        request.finish()
        requests.discard(request)
    return "answered"


def test_what_is_given_up_ends_for_that_reason():
    async def scenario() -> None:
        requests, made = InFlightRequests(), list[Interruptible]()
        left, slow, killed = (asyncio.create_task(work(requests, made)) for _ in range(3))
        await asyncio.sleep(0)
        assert len(requests) == 3
        made[0].end("client gone")
        killed.cancel()
        requests.give_up()
        assert requests.gave_up
        assert (await left, await slow) == ("client gone", "stopping")
        assert await asyncio.wait_for(asyncio.gather(killed, return_exceptions=True), 5)
        assert len(requests) == 0
        made[0].end("stopping")  # it has ended

    asyncio.run(scenario())


def test_a_stop_does_not_wait_for_what_comes_later():
    async def scenario() -> None:
        requests = InFlightRequests()
        requests.stopping = True
        requests.add(Interruptible())
        assert len(requests) == 0

    asyncio.run(scenario())
