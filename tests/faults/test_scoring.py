"""A short schedule of faults over scoring, on a busy machine: every event is scored exactly once."""

from __future__ import annotations

import pytest

from tests.e2e.deployment import Place
from tests.faults.schedule import transactions
from tests.faults.scoring.result import ScoringResult, report_of
from tests.faults.scoring.run import ScoringRun
from tests.faults.scoring.schedule import LASTS_S, WEIGHTS, Fault, Step, draw
from tests.kafka.apache_kafka import ApacheKafka

SHORT = [
    Step(1.0, Fault.KILL, target=1, lasts_s=0.5),
    Step(1.0, Fault.RELOAD, target=0, lasts_s=4.0),
    Step(1.0, Fault.BROKER_STALL, target=0, lasts_s=6.0),
    Step(1.0, Fault.BEHIND, target=0, lasts_s=3.0),
    Step(1.0, Fault.STOP, target=0, lasts_s=0.0),
]


def test_a_seed_always_draws_the_same_schedule_with_a_broker_stall_in_it() -> None:
    assert draw(7) == draw(7) != draw(8)
    schedules = [draw(seed) for seed in range(1, 41)]
    assert all(Fault.BROKER_STALL in [step.fault for step in each] for each in schedules)
    assert {step.fault for each in schedules for step in each} == set(Fault) == set(LASTS_S) == set(WEIGHTS)


def test_what_could_not_be_judged_is_neither_passed_nor_failed() -> None:
    def result(seed: int, **more: str) -> ScoringResult:
        return ScoringResult(seed=seed, faults=[], events=9, recovered_s=seed, restarts=1, seconds=1.0, **more)

    report = report_of([result(3, failure="f"), result(2), result(1, unjudged="u")])
    assert (report.passed, report.failed, report.unjudged, report.slowest_s, report.restarts) == (1, 1, 1, 2.0, 3)
    assert [each.seed for each in report.seeds] == [1, 2, 3]


@pytest.mark.kafka
@pytest.mark.timeout(180)
def test_every_event_is_scored_exactly_once_soon_after_the_last_fault(place: Place, kafka: ApacheKafka) -> None:
    assert transactions(2)
    result = ScoringRun(2, SHORT, events=6_000).on(place, kafka, load=2)
    assert (result.failure, result.unjudged) == ("", "")
    assert result.aborted > 0
