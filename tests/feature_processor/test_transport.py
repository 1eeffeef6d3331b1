"""A fetch that crosses a seek: nothing of the old positions is kept, nothing of the new ones is lost. And the end of a
consumer that crashed."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import FetchError
from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from forebay.pipelines.feature_processor.membership.fetch import ConsumerThread
from forebay.pipelines.feature_processor.membership.fetch_gate import InFlight
from forebay.pipelines.feature_processor.membership.record_batch import RecordBatch
from forebay.pipelines.feature_processor.membership.transport import Consumer


def fetched(*offsets):
    """As aiokafka hands records out."""
    return {
        TP("t", 0): [SimpleNamespace(offset=each, key=None, value=b"x", headers=(), timestamp=0) for each in offsets]
    }


@pytest.fixture
def thread(monkeypatch):
    """A thread whose fetches answer `waiting` at once and `later` after waiting, when `meanwhile` has happened."""
    made = ConsumerThread.__new__(ConsumerThread)
    made.in_flight, made._handed_out = InFlight(), {}
    made.waiting, made.later, made.room = {}, fetched(7), []
    made.at_first = made.meanwhile = lambda: None

    async def fetch(self, _consumer, _partitions, timeout, max_records):  # noqa: ASYNC109 -- as the driver's own
        if not timeout:
            self.at_first()
            return self.waiting
        self.room.append(max_records)
        self.meanwhile()
        return self.later

    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_fetch_records", fetch)
    return made


def offsets_of(thread, max_records=100):
    """The offsets of a fetch, by partition of its only topic."""
    found = asyncio.run(thread._fetch_records(None, set(), timeout=1.0, max_records=max_records))
    assert all(batch.epoch == thread.in_flight.epoch for (batch,) in found.values())
    return {
        (tp.topic, at): [each.offset for each in records]
        for tp, (batch,) in found.items()
        for at, records in batch.records.items()
    }


def test_a_batch_is_in_flight(thread):
    assert offsets_of(thread) == {("t", 0): [7]}
    assert not asyncio.run(thread.in_flight.none_left(0.01))


def test_what_waited_and_what_came_meanwhile_are_one_batch(thread):
    thread.waiting = fetched(5, 6)
    assert offsets_of(thread) == {("t", 0): [5, 6, 7]}


def aiokafka_at(failed=(), **positions):
    """aiokafka's consumer, with positions by partition of topic t."""
    states = {
        TopicPartition("t", int(at[1:])): SimpleNamespace(has_valid_position=True, position=position)
        for at, position in positions.items()
    }
    assignment = SimpleNamespace(tps=set(states), state_value=states.get)
    records = {TopicPartition("t", at): FetchError(error=None, backoff=0) for at in failed}
    return SimpleNamespace(
        _subscription=SimpleNamespace(subscription=SimpleNamespace(assignment=assignment)),
        _fetcher=SimpleNamespace(_records=records),
    )


def ends_of(thread, consumer):
    """Records and ends of a fetch, by partition of its only topic."""
    fetched = asyncio.run(thread._fetch_records(consumer, set(), timeout=1.0, max_records=100))
    return [(sorted(batch.records), batch.ends) for (batch,) in fetched.values()]


def test_a_batch_ends_where_aiokafka_has_read_to_past_markers_and_aborted_records(thread):
    thread._handed_out = {TP("t", 0): 7, TP("t", 1): 3, TP("t", 2): 4}
    assert ends_of(thread, aiokafka_at(p0=9, p1=5, p2=4)) == [([0], {0: 9, 1: 5})]


def test_where_only_markers_were_read_there_is_a_batch_without_records_once(thread):
    thread._handed_out, thread.later = {TP("t", 0): 7}, {}
    assert ends_of(thread, aiokafka_at(p0=9)) == [([], {0: 9})]
    for number in range(2):
        thread.in_flight.release(number)
    assert ends_of(thread, aiokafka_at(p0=9)) == []


def test_a_position_past_a_record_that_could_not_be_read_is_no_end(thread):
    """aiokafka steps over it before it raises the error."""
    thread._handed_out, thread.later = {TP("t", 0): 7}, {}
    assert ends_of(thread, aiokafka_at(p0=8, failed=[0])) == []


def test_a_partition_whose_position_was_not_asked_for_yet_has_no_end(thread):
    """A rebalance brought it a moment ago: where it starts is for the store to say."""
    thread.later = {}
    assert ends_of(thread, aiokafka_at(p0=8)) == []


@pytest.mark.parametrize(
    ("stable", "highwater", "end"),
    [
        pytest.param(None, None, None, id="no fetch was answered"),
        pytest.param(7, 9, 7, id="a transaction is open"),
        pytest.param(9, 9, 9, id="none is"),
        pytest.param(None, 9, 9, id="a broker that knows no transactions"),
        pytest.param(-1, 9, 9, id="the same, newer"),
    ],
)
def test_the_end_of_a_partition_is_that_of_what_may_be_read(thread, stable, highwater, end):
    thread._consumer = aiokafka_at(p0=3)
    state = thread._consumer._subscription.subscription.assignment.state_value(TopicPartition("t", 0))
    state.lso, state.highwater = stable, highwater
    assert thread.end(TP("t", 0)) == end


def test_the_end_of_a_partition_that_was_taken_away_is_not_known(thread):
    thread._consumer = aiokafka_at(p0=3)
    assert thread.end(TP("t", 1)) is None


def test_a_partition_may_have_only_waiting_records_or_only_later_ones(thread):
    thread.waiting, thread.later = fetched(5), {TP("t", 1): fetched(9)[TP("t", 0)]}
    assert offsets_of(thread) == {("t", 0): [5], ("t", 1): [9]}


def test_partitions_of_a_topic_are_one_batch_and_topics_are_not(thread):
    records = fetched(7)[TP("t", 0)]
    thread.later = {TP("u", 3): records, TP("t", 2): records, TP("t", 1): records}
    found = asyncio.run(thread._fetch_records(None, set(), timeout=1.0, max_records=100))
    assert {tp: sorted(batch.records) for tp, (batch,) in found.items()} == {TP("t", 1): [1, 2], TP("u", 3): [3]}
    for (batch,), none_left in zip(found.values(), (False, True), strict=True):
        thread.in_flight.release(batch.number)
        assert asyncio.run(thread.in_flight.none_left(0.01)) is none_left


def test_what_waited_leaves_that_much_less_room(thread):
    thread.waiting = fetched(4, 5, 6)
    offsets_of(thread, max_records=10)
    assert thread.room == [7]


def test_a_batch_that_is_full_waits_for_nothing(thread):
    thread.waiting = fetched(4, 5, 6)
    assert offsets_of(thread, max_records=3) == {("t", 0): [4, 5, 6]}
    assert thread.room == []


def test_an_error_of_the_second_fetch_costs_no_record_of_the_first(thread):
    def fail():
        raise KafkaError("a partition has no leader")

    thread.waiting, thread.meanwhile = fetched(5, 6), fail
    assert offsets_of(thread) == {("t", 0): [5, 6]}


@pytest.mark.parametrize("waiting", [{}, fetched(5, 6)])
def test_what_comes_while_a_seek_is_under_way_is_of_the_old_positions(thread, waiting):
    thread.waiting, thread.meanwhile = waiting, thread.in_flight.begin_seek
    assert offsets_of(thread) == {}


def test_what_waited_is_dropped_when_a_seek_begins_before_it_is_taken_and_ends_after(thread):
    thread.at_first, thread.meanwhile = thread.in_flight.begin_seek, thread.in_flight.end_seek
    thread.waiting = fetched(5, 6)
    assert offsets_of(thread) == {}
    assert thread.room == []


@pytest.mark.parametrize("waiting", [{}, fetched(5, 6)])
def test_of_a_fetch_that_crosses_a_seek_only_what_came_after_it_is_kept(thread, waiting):
    """The consumer's position has moved past it: nobody would read it again. What waited is of the old position."""

    def seek():
        thread.in_flight.begin_seek()
        thread.in_flight.end_seek()

    thread.waiting, thread.meanwhile = waiting, seek
    assert offsets_of(thread) == {("t", 0): [7]}
    assert thread.in_flight.epoch == 1


def test_a_consumer_that_crashed_asks_its_thread_for_nothing_more():
    """That thread has ended: it would never answer, and the process would not come to say why it crashed."""
    made = Consumer.__new__(Consumer)
    made._thread = SimpleNamespace(crashed=True)
    assert asyncio.run(asyncio.wait_for(made._commit({"tp": 7}), 1.0)) is False


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
    made = Consumer.__new__(Consumer)
    made._thread = SimpleNamespace(highwater=highwater)
    assert made.highwater("tp") == expected


def test_a_batch_is_released_where_its_thread_has_ended():
    """The process is about to stop: what is processed meanwhile may still come to its end."""
    loop = asyncio.new_event_loop()
    loop.close()
    made = Consumer.__new__(Consumer)
    made._thread = SimpleNamespace(thread_loop=loop, in_flight=InFlight())
    made.release(RecordBatch(0, 0, {}, {}))
