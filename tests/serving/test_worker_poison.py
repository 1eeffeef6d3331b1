"""A topic of garbage stops the worker before it commits."""

import pytest

from forebay.pipelines.errors import TooManyDeadLetters
from forebay.pipelines.steps.dead_letter_limit import Allowance
from forebay.serving.worker.loop import Worker
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


class Consumer:
    """Knows no lag, and seeks anywhere."""

    def seek(self, _to):
        pass

    def get_watermark_offsets(self, _partition, cached):
        return 0, 0


class SameTopic:
    """A topic that was never made anew."""

    def check(self, _consumer):
        return True

    def marked(self, offsets):
        return offsets


@pytest.fixture
def worker(score):
    made = Worker(WorkerSettings("broker:1", "payments", "group", dead_letters=Allowance(2)), score)
    made._consumer = Consumer()
    made._incarnation = SameTopic()
    return made


def test_beyond_the_limit_nothing_of_the_batch_is_committed(worker):
    committer = Committer()
    worker._work([Message(0, asked("a")), Message(1, GARBAGE), Message(2, GARBAGE)], committer)
    with pytest.raises(TooManyDeadLetters, match=r"payments\[0\]@1 to payments\[0\]@3"):
        worker._work([Message(3, GARBAGE), Message(4, asked("a"))], committer)
    assert len(committer.committed) == 3


def test_a_batch_that_was_not_committed_is_counted_once(worker):
    committer = Committer()
    committer.refuses = True
    for _ in range(4):
        worker._work([Message(0, GARBAGE), Message(1, GARBAGE)], committer)
    committer.refuses = False
    worker._work([Message(0, GARBAGE), Message(1, GARBAGE)], committer)
    assert len(committer.committed) == 2
