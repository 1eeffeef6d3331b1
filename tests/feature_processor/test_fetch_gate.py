"""The gate before the next fetch."""

import asyncio

from forebay.pipelines.feature_processor.membership.fetch_gate import InFlight

SOON_S = 0.01


def test_nothing_in_flight_lets_the_next_fetch_begin():
    assert asyncio.run(InFlight().none_left(SOON_S))


def test_a_fetch_waits_for_every_batch_of_the_last_one():
    async def walk():
        flight = InFlight()
        numbers = [flight.hand_out(), flight.hand_out()]
        held = [await flight.none_left(SOON_S)]
        for number in numbers:
            flight.release(number)
            held.append(await flight.none_left(SOON_S))
        return held

    assert asyncio.run(walk()) == [False, False, True]


def test_a_batch_that_is_released_twice_stands_for_no_other_one():
    async def walk():
        flight = InFlight()
        first, _ = flight.hand_out(), flight.hand_out()
        flight.release(first)
        flight.release(first)
        return await flight.none_left(SOON_S)

    assert not asyncio.run(walk())


def test_a_seek_frees_the_fetch_from_batches_that_will_be_dropped_once_it_is_done():
    async def walk():
        flight = InFlight()
        flight.hand_out()
        waiting = asyncio.ensure_future(flight.none_left(5))
        await asyncio.sleep(0)
        flight.begin_seek()
        held = await flight.none_left(SOON_S)
        flight.end_seek()
        return held, await waiting, flight.epoch

    assert asyncio.run(walk()) == (False, True, 1)


def test_a_batch_of_an_earlier_epoch_is_not_counted_against_this_one():
    async def walk():
        flight = InFlight()
        earlier = flight.hand_out()
        flight.begin_seek()
        flight.end_seek()
        flight.hand_out()
        flight.release(earlier)
        return await flight.none_left(SOON_S)

    assert not asyncio.run(walk())
