"""A worker that is told to stop commits what it has scored, and waits for no broker that does not answer."""

import threading
import time

import pytest

from forebay.serving.worker.in_flight import Bounds, InFlight
from forebay.serving.worker.loop import Worker
from forebay.serving.worker.member import Read
from forebay.serving.worker.settings import WorkerSettings
from tests.serving.test_event_scorer import Message, asked, memory, score, store
from tests.serving.test_worker_poison import SameTopic

__all__ = ["memory", "score", "store"]

COMMIT_S = 0.5


class Slow:
    """Commits after a while."""

    def __init__(self):
        self.committed, self.begun = [], threading.Event()

    def commit(self, records, _offsets, _membership):
        self.begun.set()
        time.sleep(COMMIT_S)
        self.committed += records
        return True


class Member:
    """Reads one batch; while the next is read, the worker is told to stop."""

    consumer = None

    def __init__(self, worker):
        self.worker, self.reads = worker, 0

    def read(self):
        self.reads += 1
        if self.reads == 1:
            return Read([Message(0, asked("a"))], None)
        assert self.worker._in_flight._committer.begun.wait(10)
        self.worker.stop()
        return Read([], None)

    def resume(self):
        pass

    def report_lag(self):
        pass


@pytest.fixture
def worker(score):
    made = Worker(WorkerSettings("broker:1", "payments", "group"), score)
    made._incarnation, made._member = SameTopic(), Member(made)
    made._in_flight = InFlight(Slow(), Bounds(1_000, 1 << 20))
    yield made
    made._in_flight.end()


def test_what_is_in_flight_is_committed_before_the_end(worker):
    worker._work()
    assert len(worker._in_flight._committer.committed) == 1
    assert worker._in_flight.committed() == []  # counted


def test_once_it_is_told_to_stop_brokers_are_waited_for_no_longer(worker):
    assert not worker._gives_up()
    worker.stop()
    assert worker._gives_up()
