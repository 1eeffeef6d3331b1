"""A topic of garbage stops the worker before it commits, and a batch that was not committed leaves no trace."""

import pytest

from forebay.pipelines.errors import TooManyDeadLetters
from forebay.pipelines.steps.dead_letter_limit import Allowance
from forebay.serving.worker.in_flight import Bounds, InFlight
from forebay.serving.worker.loop import Worker
from forebay.serving.worker.member import Read
from forebay.serving.worker.settings import WorkerSettings
from tests.serving.test_event_scorer import Message, asked, memory, score, store

__all__ = ["memory", "score", "store"]

GARBAGE = b"\xff"


class Committer:
    """Remembers what it committed; refuses while told to."""

    def __init__(self):
        self.committed, self.refuses = [], False

    def commit(self, records, _offsets, _membership):
        if not self.refuses:
            self.committed += records
        return not self.refuses


class SameTopic:
    """A topic that was never made anew."""

    def check(self, _consumer):
        return True

    def marked(self, offsets):
        return offsets


class Member:
    """Owns all partitions, and remembers where it was to read again."""

    consumer = None

    def __init__(self):
        self.again = []

    def read_again(self, first):
        self.again.append(first)

    def report_lag(self):
        pass


@pytest.fixture
def worker(score):
    made = Worker(WorkerSettings("broker:1", "payments", "group", dead_letters=Allowance(2)), score)
    made._incarnation, made._member, made.committer = SameTopic(), Member(), Committer()
    made._in_flight = InFlight(made.committer, Bounds(1_000, 1 << 20))
    yield made
    made._in_flight.end()


def batch(worker, *messages):
    """One batch, all the way to its commit."""
    worker._step(Read(messages, None))
    worker._in_flight.drain()


def test_beyond_the_limit_nothing_of_the_batch_is_committed(worker):
    batch(worker, Message(0, asked("a")), Message(1, GARBAGE), Message(2, GARBAGE))
    with pytest.raises(TooManyDeadLetters, match=r"payments\[0\]@1 to payments\[0\]@3"):
        batch(worker, Message(3, GARBAGE), Message(4, asked("a")))
    assert len(worker.committer.committed) == 3


def test_a_batch_that_was_not_committed_is_counted_once(worker):
    worker.committer.refuses = True
    for _ in range(4):
        batch(worker, Message(0, GARBAGE), Message(1, GARBAGE))
        worker._step(Read([], None))
    worker.committer.refuses = False
    batch(worker, Message(0, GARBAGE), Message(1, GARBAGE))
    assert len(worker.committer.committed) == 2


def test_what_was_read_after_a_batch_that_failed_is_read_again_with_it(worker):
    worker.committer.refuses = True
    batch(worker, Message(5, asked("a")))
    worker.committer.refuses = False
    batch(worker, Message(6, asked("a")))
    assert worker._member.again == [{0: 5}]
    batch(worker, Message(5, asked("a")), Message(6, asked("a")))
    assert len(worker.committer.committed) == 2
