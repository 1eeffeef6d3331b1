"""A fetch that crosses a seek: nothing of the old positions is kept, nothing of the new ones is lost."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import FetchError
from aiokafka.errors import KafkaError
from faust.types import TP

from forebay.pipelines.feature_processor.membership.batch_fetch import BatchFetch
from forebay.pipelines.feature_processor.membership.read_state import end_of


def fetched(*offsets):
    """As aiokafka hands records out."""
    return {
        TP("t", 0): [SimpleNamespace(offset=each, key=None, value=b"x", headers=(), timestamp=0) for each in offsets]
    }


class Fetch(BatchFetch):
    """Takes `waiting` at once and `later` after waiting, when `meanwhile` has happened."""

    def __init__(self):
        super().__init__()
        self.waiting, self.later, self.room = {}, fetched(7), []
        self.at_first = self.meanwhile = lambda: None

    async def take(self, timeout_s, max_records):
        if not timeout_s:
            self.at_first()
            return self.waiting
        self.room.append(max_records)
        self.meanwhile()
        return self.later

    def batches(self, consumer=None, max_records=100):
        """One batch of each topic, by the partition that it is handed over as."""
        found = asyncio.run(self.fetch(self.take, consumer, 1.0, max_records))
        return {tp: batch for tp, (batch,) in found.items()}


@pytest.fixture
def fetch():
    return Fetch()


def offsets_of(fetch, max_records=100):
    """The offsets of a fetch, by topic and partition."""
    found = fetch.batches(max_records=max_records)
    assert all(batch.epoch == fetch.in_flight.epoch for batch in found.values())
    return {
        (tp.topic, at): [each.offset for each in records]
        for tp, batch in found.items()
        for at, records in batch.records.items()
    }


def test_a_batch_is_in_flight(fetch):
    assert offsets_of(fetch) == {("t", 0): [7]}
    assert not asyncio.run(fetch.in_flight.none_left(0.01))


def test_what_waited_and_what_came_meanwhile_are_one_batch(fetch):
    fetch.waiting = fetched(5, 6)
    assert offsets_of(fetch) == {("t", 0): [5, 6, 7]}


def aiokafka_at(failed=(), lso=None, highwater=None, **positions):
    """aiokafka's consumer, with positions by partition of topic t."""
    states = {
        TopicPartition("t", int(at[1:])): SimpleNamespace(
            has_valid_position=True, position=position, lso=lso, highwater=highwater
        )
        for at, position in positions.items()
    }
    assignment = SimpleNamespace(tps=set(states), state_value=states.get)
    records = {TopicPartition("t", at): FetchError(error=None, backoff=0) for at in failed}
    return SimpleNamespace(
        _subscription=SimpleNamespace(subscription=SimpleNamespace(assignment=assignment)),
        _fetcher=SimpleNamespace(_records=records),
    )


def ends_of(fetch, consumer):
    """Records and ends of a fetch, by partition of its only topic."""
    return [(sorted(batch.records), batch.ends) for batch in fetch.batches(consumer).values()]


def test_a_batch_ends_where_aiokafka_has_read_to_past_markers_and_aborted_records(fetch):
    fetch.start_at({TP("t", 0): 7, TP("t", 1): 3, TP("t", 2): 4})
    assert ends_of(fetch, aiokafka_at(p0=9, p1=5, p2=4)) == [([0], {0: 9, 1: 5})]


def test_where_only_markers_were_read_there_is_a_batch_without_records_once(fetch):
    fetch.start_at({TP("t", 0): 7})
    fetch.later = {}
    assert ends_of(fetch, aiokafka_at(p0=9)) == [([], {0: 9})]
    for number in range(2):
        fetch.in_flight.release(number)
    assert ends_of(fetch, aiokafka_at(p0=9)) == []


def test_a_position_past_a_record_that_could_not_be_read_is_no_end(fetch):
    """aiokafka steps over it before it raises the error."""
    fetch.start_at({TP("t", 0): 7})
    fetch.later = {}
    assert ends_of(fetch, aiokafka_at(p0=8, failed=[0])) == []


def test_a_partition_whose_position_was_not_asked_for_yet_has_no_end(fetch):
    """A rebalance brought it a moment ago: where it starts is for the store to say."""
    fetch.later = {}
    assert ends_of(fetch, aiokafka_at(p0=8)) == []


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
def test_the_end_of_a_partition_is_that_of_what_may_be_read(stable, highwater, end):
    assert end_of(aiokafka_at(p0=3, lso=stable, highwater=highwater), TP("t", 0)) == end


def test_the_end_of_a_partition_that_was_taken_away_is_not_known():
    assert end_of(aiokafka_at(p0=3), TP("t", 1)) is None


def test_a_partition_may_have_only_waiting_records_or_only_later_ones(fetch):
    fetch.waiting, fetch.later = fetched(5), {TP("t", 1): fetched(9)[TP("t", 0)]}
    assert offsets_of(fetch) == {("t", 0): [5], ("t", 1): [9]}


def test_partitions_of_a_topic_are_one_batch_and_topics_are_not(fetch):
    records = fetched(7)[TP("t", 0)]
    fetch.later = {TP("u", 3): records, TP("t", 2): records, TP("t", 1): records}
    found = fetch.batches()
    assert {tp: sorted(batch.records) for tp, batch in found.items()} == {TP("t", 1): [1, 2], TP("u", 3): [3]}
    for batch, none_left in zip(found.values(), (False, True), strict=True):
        fetch.in_flight.release(batch.number)
        assert asyncio.run(fetch.in_flight.none_left(0.01)) is none_left


def test_what_waited_leaves_that_much_less_room(fetch):
    fetch.waiting = fetched(4, 5, 6)
    offsets_of(fetch, max_records=10)
    assert fetch.room == [7]


def test_a_batch_that_is_full_waits_for_nothing(fetch):
    fetch.waiting = fetched(4, 5, 6)
    assert offsets_of(fetch, max_records=3) == {("t", 0): [4, 5, 6]}
    assert fetch.room == []


def test_an_error_of_the_second_fetch_costs_no_record_of_the_first(fetch):
    def fail():
        raise KafkaError("a partition has no leader")

    fetch.waiting, fetch.meanwhile = fetched(5, 6), fail
    assert offsets_of(fetch) == {("t", 0): [5, 6]}


@pytest.mark.parametrize("waiting", [{}, fetched(5, 6)])
def test_what_comes_while_a_seek_is_under_way_is_of_the_old_positions(fetch, waiting):
    fetch.waiting, fetch.meanwhile = waiting, fetch.in_flight.begin_seek
    assert offsets_of(fetch) == {}


def test_what_waited_is_dropped_when_a_seek_begins_before_it_is_taken_and_ends_after(fetch):
    fetch.at_first, fetch.meanwhile = fetch.in_flight.begin_seek, fetch.in_flight.end_seek
    fetch.waiting = fetched(5, 6)
    assert offsets_of(fetch) == {}
    assert fetch.room == []


@pytest.mark.parametrize("waiting", [{}, fetched(5, 6)])
def test_of_a_fetch_that_crosses_a_seek_only_what_came_after_it_is_kept(fetch, waiting):
    """The consumer's position has moved past it: nobody would read it again. What waited is of the old position."""

    def seek():
        fetch.in_flight.begin_seek()
        fetch.in_flight.end_seek()

    fetch.waiting, fetch.meanwhile = waiting, seek
    assert offsets_of(fetch) == {("t", 0): [7]}
    assert fetch.in_flight.epoch == 1
