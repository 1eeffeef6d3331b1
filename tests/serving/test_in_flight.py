"""Batches in flight are committed in order, together where they wait, and fail together."""

import threading

import pytest
from confluent_kafka import TopicPartition

from forebay.pipelines.steps.dead_letter_limit import Tally
from forebay.serving.worker.batch import Batch
from forebay.serving.worker.commit import TransactionLost
from forebay.serving.worker.in_flight import Bounds, InFlight
from forebay.serving.worker.outgoing import OutgoingRecord

LONG_S = 10


class Committer:
    """Commits when told to, and answers what it is told."""

    def __init__(self):
        self.commits, self.answers = [], []
        self.begun, self.go_on = threading.Semaphore(0), threading.Semaphore(0)

    def commit(self, records, offsets, membership):
        self.begun.release()
        assert self.go_on.acquire(timeout=LONG_S)
        self.commits.append(([each.value for each in records], {at.partition: at.offset for at in offsets}, membership))
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def committer():
    return Committer()


@pytest.fixture
def in_flight(committer):
    made = InFlight(committer, Bounds(records=3, size_bytes=100))
    yield made
    for _ in range(10):
        committer.go_on.release()
    made.end()


def batch(first, count=1, partition=0, size_bytes=1, membership="m1"):
    records = [OutgoingRecord("out", None, b"%d" % at, []) for at in range(first, first + count)]
    offsets = [TopicPartition("payments", partition, first + count)]
    return Batch({partition: first}, records, offsets, membership, count, size_bytes, Tally())


def test_what_waits_while_a_commit_is_under_way_goes_into_the_next_one_together(in_flight, committer):
    in_flight.put(batch(0))
    assert committer.begun.acquire(timeout=LONG_S)
    in_flight.put(batch(1))
    in_flight.put(batch(7, partition=1))
    in_flight.put(batch(2, membership="m2"))
    committer.go_on.release(2)
    in_flight.drain()
    assert committer.commits == [([b"0"], {0: 1}, "m1"), ([b"1", b"7", b"2"], {0: 3, 1: 8}, "m2")]
    assert [each.first for each in in_flight.committed()] == [{0: 0}, {0: 1}, {1: 7}, {0: 2}]
    assert in_flight.committed() == []


def test_what_comes_after_a_batch_that_fails_fails_with_it_until_it_is_read_again(in_flight, committer):
    committer.answers = [False]
    in_flight.put(batch(0))
    assert committer.begun.acquire(timeout=LONG_S)
    in_flight.put(batch(1))
    assert in_flight.failed() == []  # not known yet
    committer.go_on.release()
    in_flight.drain()
    in_flight.put(batch(2))
    in_flight.drain()
    assert [each.first for each in in_flight.failed()] == [{0: 0}, {0: 1}, {0: 2}]
    in_flight.put(batch(0))
    committer.go_on.release()
    in_flight.drain()
    assert len(in_flight.committed()) == 1


def test_nothing_is_read_again_of_partitions_that_went_to_another_worker(in_flight, committer):
    committer.answers = [False]
    committer.go_on.release()
    in_flight.put(batch(0)._replace(first={0: 0, 1: 5}))
    in_flight.revoked({1})
    assert [each.first for each in in_flight.failed()] == [{0: 0}]


def test_what_the_committer_raises_is_raised_where_batches_are_scored(in_flight, committer):
    committer.answers = [TransactionLost("fenced")]
    committer.go_on.release()
    in_flight.put(batch(0))
    in_flight.drain()
    in_flight.put(batch(1))
    in_flight.drain()
    assert in_flight.failed() == []
    with pytest.raises(TransactionLost, match="fenced"):
        in_flight.committed()
    assert len(committer.commits) == 1


@pytest.mark.parametrize("held", [batch(0, count=3), batch(0, size_bytes=100)], ids=["records", "bytes"])
def test_what_is_in_flight_is_bounded_by_records_and_bytes(in_flight, committer, held):
    in_flight.put(batch(0))
    assert committer.begun.acquire(timeout=LONG_S)
    assert in_flight.wait_for_room(0, ahead=True)
    in_flight.put(held)
    assert not in_flight.wait_for_room(0.01, ahead=True)
    committer.go_on.release(2)
    assert in_flight.wait_for_room(LONG_S, ahead=True)


def test_what_is_not_scored_ahead_waits_until_nothing_is_in_flight(in_flight, committer):
    in_flight.put(batch(0))
    assert committer.begun.acquire(timeout=LONG_S)
    assert in_flight.wait_for_room(0, ahead=True)
    assert not in_flight.wait_for_room(0.01, ahead=False)
    committer.go_on.release()
    assert in_flight.wait_for_room(LONG_S, ahead=False)


def test_at_the_end_what_waits_is_not_committed(in_flight, committer):
    in_flight.put(batch(0))
    assert committer.begun.acquire(timeout=LONG_S)
    in_flight.put(batch(1))
    ending = threading.Thread(target=in_flight.end)
    ending.start()
    committer.go_on.release()
    ending.join(LONG_S)
    assert len(committer.commits) == 1
