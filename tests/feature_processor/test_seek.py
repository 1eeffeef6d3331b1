"""A seek asks the app where partitions start, however long that takes; of several, the last one counts."""

import asyncio

import pytest
from aiokafka.errors import IllegalStateError
from faust.types import TP

from forebay.pipelines.feature_processor.membership.fetch import ConsumerThread
from tests.feature_processor.consumers import App, consumer_with

ZERO, ONE = TP("t", 0), TP("t", 1)


class Kafka:
    """aiokafka's consumer: what is assigned, and where it was moved to."""

    def __init__(self, *assigned):
        self.assigned = set(assigned)
        self.moved = {}

    def seek(self, tp, offset):
        if tp not in self.assigned:
            raise IllegalStateError(f"{tp} is not assigned")
        self.moved[TP(*tp)] = offset


class Thread(ConsumerThread):
    """Does at once, on the test's own loop, what it is asked for."""

    def __init__(self, consumer, kafka):
        super().__init__(consumer, thread_loop=consumer.loop, beacon=consumer.beacon)
        self.kafka = kafka

    def _ensure_consumer(self):
        return self.kafka

    async def call_thread(self, asked, *args):
        return await asked(*args)

    def assignment(self):
        return set(self.kafka.assigned)

    async def earliest_offsets(self, *partitions):
        return dict.fromkeys(partitions, 0)


class StoreAway(App):
    """Says where partitions start once it is told where that is: the store was away."""

    def __init__(self):
        super().__init__()
        self.asked = []
        self.answer = asyncio.Future()

    async def start_offsets(self, earliest, still_asked):
        self.asked.append(sorted(earliest))
        offset = await self.answer
        return dict.fromkeys(earliest, offset) if still_asked() else {}


class Seeks:
    """A consumer, and what its seeks do."""

    def __init__(self, *assigned):
        self.kafka = Kafka(*assigned)
        self.app = StoreAway()
        self.consumer = consumer_with(self.app, lambda consumer: Thread(consumer, self.kafka))
        self.under_way = []
        self.consumer.add_future = lambda seek: self.under_way.append(asyncio.ensure_future(seek))

    @property
    def fetching(self):
        return not self.consumer.thread.in_flight.seeking

    async def answer(self, offset):
        """The store is back, and all seeks come to their end."""
        self.app.answer.set_result(offset)
        await asyncio.gather(*self.under_way)


async def seek_amid_which_the_partition_was_exchanged():
    """The first one is gone, another one has come, and its seek has not begun."""
    seeks = Seeks(ZERO)
    await seeks.consumer.perform_seek()
    await asyncio.sleep(0)
    seeks.kafka.assigned = {ONE}
    return seeks


def test_a_seek_returns_while_the_store_is_away_and_nothing_is_fetched_before_it_is_back():
    async def steps():
        seeks = Seeks(ZERO, ONE)
        await seeks.consumer.perform_seek()
        assert not seeks.fetching
        await seeks.answer(7)
        assert seeks.kafka.moved == {ZERO: 7, ONE: 7}
        assert seeks.fetching

    asyncio.run(steps())


def test_of_seeks_that_follow_each_other_the_last_one_counts():
    async def steps():
        seeks = await seek_amid_which_the_partition_was_exchanged()
        await asyncio.gather(seeks.consumer.perform_seek(), seeks.consumer.perform_seek())
        await seeks.answer(7)
        assert seeks.app.asked == [[ZERO], [ONE]]
        assert seeks.kafka.moved == {ONE: 7}
        assert seeks.fetching

    asyncio.run(steps())


def test_a_seek_whose_partitions_were_taken_away_meanwhile_leaves_it_to_the_one_to_come():
    async def steps():
        seeks = await seek_amid_which_the_partition_was_exchanged()
        await seeks.answer(7)
        assert (seeks.kafka.moved, seeks.fetching) == ({}, False)

    asyncio.run(steps())


@pytest.mark.parametrize("epoch", [1, 2])
def test_positions_of_partitions_that_are_gone_or_of_a_former_seek_let_nothing_be_fetched(epoch):
    async def steps():
        seeks = Seeks(ZERO)
        thread = seeks.consumer.thread
        for _ in range(2):
            thread.in_flight.begin_seek()
        await thread.seek_all({ONE: 7}, epoch)
        assert (seeks.kafka.moved, seeks.fetching) == ({}, False)

    asyncio.run(steps())


def test_where_nothing_is_assigned_the_app_is_told_and_nothing_is_fetched():
    async def steps():
        seeks = Seeks()
        await seeks.consumer.perform_seek()
        await seeks.answer(7)
        assert seeks.app.asked == [[]]
        assert not seeks.fetching

    asyncio.run(steps())
