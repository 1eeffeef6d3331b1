"""A replay sends no more records per second than it may, and says after each transaction how many it has sent."""

from types import SimpleNamespace

import pytest

from forebay.dead_letters import replay as module
from forebay.dead_letters.replay import AT_ONCE, Place, replay
from forebay.dead_letters.selection import Selection
from tests.forebay.test_dead_letters import PLAN

RECORDS = 1_000


class Clock:
    """A clock on which nothing but sleeping takes time."""

    now_s = 50.0

    def monotonic(self):
        return self.now_s

    def sleep(self, seconds):
        self.now_s += seconds

    def time_ns(self):
        return 0


class Run:
    """A replay of many records to brokers that take them at once."""

    def __init__(self, monkeypatch):
        self.clock, self.sent_at, self.told = Clock(), [], []
        for name, fake in {
            "time": self.clock,
            "TopicReader": lambda _: SimpleNamespace(close=lambda: None),
            "create_marks_topic": lambda *_: None,
            "read_marks": lambda *_: set(),
            "Outbox": lambda *_: SimpleNamespace(send=self.send),
            "_sendable": lambda *_: iter(range(RECORDS)),
            "_outgoing": lambda _, number: [number],
        }.items():
            monkeypatch.setattr(module, name, fake)

    def send(self, records):
        self.sent_at += [self.clock.now_s] * len(records)

    def replay(self, rate):
        place = Place(PLAN, PLAN.sources[0], "payments.dlq", "broker:1")
        assert replay(place, Selection.made((), (), None, None), rate, self.told.append).sent == RECORDS
        assert len(self.sent_at) == self.told[-1] == RECORDS


@pytest.fixture
def run(monkeypatch):
    return Run(monkeypatch)


@pytest.mark.parametrize("rate", [0.5, 7.0, 400.0])
def test_after_any_time_no_more_is_sent_than_the_rate_allows_and_one_transaction(run, rate):
    run.replay(rate)
    begun_s, at_once = run.sent_at[0], max(1, rate / module.TRANSACTIONS_PER_S)
    for number, sent_s in enumerate(run.sent_at):
        assert number <= (sent_s - begun_s) * rate + at_once
    assert run.clock.now_s - begun_s == pytest.approx(RECORDS / rate)


def test_a_slow_replay_is_visible_soon(run):
    run.replay(400.0)
    assert run.told == [*range(80, RECORDS, 80), RECORDS]


def test_without_a_rate_nothing_is_waited_for(run):
    run.replay(0.0)
    assert run.clock.now_s == Clock.now_s
    assert run.told == [AT_ONCE, RECORDS]
