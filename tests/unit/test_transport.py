"""A fetch that crosses a seek: nothing of the old positions is kept, nothing of the new ones is lost. And the end of a
consumer that crashed."""

import asyncio
from types import SimpleNamespace

import pytest
from faust.transport.drivers import aiokafka as driver

from pipelines.feature_processor.in_flight import InFlight
from pipelines.feature_processor.transport import Consumer, ConsumerThread

FETCHED = {"tp": [SimpleNamespace(offset=7, key=None, value=b"x", headers=(), timestamp=0)]}


@pytest.fixture
def thread(monkeypatch):
    """A thread whose fetch does, while it waits, what the test says."""
    made = ConsumerThread.__new__(ConsumerThread)
    made.in_flight = InFlight()
    made.meanwhile = lambda: None

    async def fetch(self):
        self.meanwhile()
        return FETCHED

    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_fetch_records", fetch)
    return made


def test_a_batch_is_of_the_present_epoch_and_in_flight(thread):
    (batch,) = asyncio.run(thread._fetch_records())["tp"]
    assert (batch.epoch, [each.offset for each in batch.records]) == (0, [7])
    assert not asyncio.run(thread.in_flight.none_left(0.01))


def test_what_comes_while_a_seek_is_under_way_is_of_the_old_positions(thread):
    thread.meanwhile = thread.in_flight.begin_seek
    assert asyncio.run(thread._fetch_records()) == {}


def test_what_comes_after_the_seek_is_kept_though_its_fetch_began_before(thread):
    """The consumer's position has moved past it: nobody would read it again."""

    def seek():
        thread.in_flight.begin_seek()
        thread.in_flight.end_seek()

    thread.meanwhile = seek
    (batch,) = asyncio.run(thread._fetch_records())["tp"]
    assert batch.epoch == thread.in_flight.epoch == 1


def test_a_consumer_that_crashed_asks_its_thread_for_nothing_more():
    """That thread has ended: it would never answer, and the process would not come to say why it crashed."""
    made = Consumer.__new__(Consumer)
    made._thread = SimpleNamespace(crashed=True)
    assert asyncio.run(asyncio.wait_for(made._commit({"tp": 7}), 1.0)) is False
