"""What the transport's consumer answers once its thread has crashed, has ended, or lost a partition."""

import asyncio
from types import SimpleNamespace

import pytest
from faust.types import TP

from forebay.pipelines.feature_processor.membership.fetch_gate import InFlight
from forebay.pipelines.feature_processor.membership.record_batch import RecordBatch
from tests.feature_processor.consumers import App, consumer_with

ZERO = TP("t", 0)


class ReadApp(App):
    """Has processed a batch."""

    def done(self, _tp):
        return 7

    def all_done(self):
        return (ZERO,)


def asking(**thread):
    """A consumer whose thread has these attributes and no others."""
    return consumer_with(ReadApp(), lambda _: SimpleNamespace(beacon=None, **thread))


def test_a_consumer_that_crashed_asks_its_thread_for_nothing_more():
    """That thread has ended: it would never answer, and the process would not come to say why it crashed."""

    async def commit():
        return await asyncio.wait_for(asking(crashed=True, assignment=lambda: {ZERO}).commit(), 1.0)

    assert asyncio.run(commit()) is False


def taken_away(_tp):
    raise AssertionError("Partition is not assigned")


@pytest.mark.parametrize(
    ("highwater", "expected"),
    [
        pytest.param(lambda _tp: 12, 12, id="fetched from"),
        pytest.param(lambda _tp: None, 0, id="assigned a moment ago"),
        pytest.param(taken_away, 0, id="taken away"),
    ],
)
def test_where_the_end_of_a_partition_is_not_known_the_process_goes_on(highwater, expected):
    """A rebalance must not end the process that asks for its lag meanwhile."""

    async def look():
        return asking(highwater=highwater).highwater(ZERO)

    assert asyncio.run(look()) == expected


def test_a_batch_is_released_where_its_thread_has_ended():
    """The process is about to stop: what is processed meanwhile may still come to its end."""
    loop = asyncio.new_event_loop()
    loop.close()

    async def release():
        asking(thread_loop=loop, in_flight=InFlight()).release(RecordBatch(0, 0, {}, {}))

    asyncio.run(release())
