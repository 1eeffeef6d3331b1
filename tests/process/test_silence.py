"""A client that owns partitions and reads nothing is given up only where another one reads."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from forebay.pipelines.feature_processor.membership import client_health as vitals
from forebay.pipelines.feature_processor.membership.client_health import Vitals
from forebay.pipelines.feature_processor.membership.ended import ClientFailed
from forebay.pipelines.process.silence import THREAD_NAME, Positions, Silence

HERE = {("payments", 0): 7, ("payments", 1): 3}


def looks(silence: Silence, positions: Positions, count: int) -> list[bool]:
    found = []
    for _ in range(count):
        found.append(silence.look(positions))
        for thread in threading.enumerate():
            if thread.name == THREAD_NAME:
                thread.join()
    return found


def test_a_client_that_brings_nothing_while_another_one_reads_is_noticed() -> None:
    asked: list[Positions] = []
    silence = Silence(lambda positions: not asked.append(positions), 3)
    assert looks(silence, HERE, 7) == [False] * 6 + [True]
    assert asked == [HERE]


def test_an_idle_topic_is_no_silence() -> None:
    assert not any(looks(Silence(lambda _: False, 3), HERE, 50))


def test_a_record_that_comes_while_another_client_waits_for_one_is_no_line_in_the_log() -> None:
    """The first event of an idle topic: both clients read it."""
    silence = Silence(lambda _: True, 3)
    with capture_logs() as lines:
        looks(silence, HERE, 3)
        assert not silence.look(HERE | {("payments", 0): 8})
    assert lines == []


def test_what_has_moved_since_another_client_was_asked_is_no_silence() -> None:
    silence = Silence(lambda _: True, 3)
    looks(silence, HERE, 5)
    assert not any(looks(silence, HERE | {("payments", 1): 4}, 6))


def test_a_good_reason_to_read_nothing_begins_the_count_again() -> None:
    silence = Silence(lambda _: True, 3)
    looks(silence, HERE, 6)
    silence.broken()
    assert not any(looks(silence, HERE, 5))


def test_without_partitions_nothing_can_be_silent() -> None:
    assert not any(looks(Silence(lambda _: True, 3), {}, 50))


@pytest.mark.parametrize("name", ["group coordination", "fetching", "metadata synchronisation"])
def test_a_task_of_the_kafka_client_that_has_ended_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else says so: the process would live and not read."""
    monkeypatch.setattr(vitals, "client_tasks", lambda consumer: {name: consumer.task})
    ended: Any = SimpleNamespace(
        done=lambda: True, cancelled=lambda: False, exception=lambda: AssertionError("Did we not perform bootstrap?")
    )
    consumer = SimpleNamespace(_closed=False, task=ended, _coordinator=SimpleNamespace(_pending_exception=None))
    thread = SimpleNamespace(should_stop=False, _consumer=consumer)
    with pytest.raises(ClientFailed, match=f"{name} has ended.*bootstrap"):
        Vitals(lambda: thread, lambda _: {}, {}).look()
