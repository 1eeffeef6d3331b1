"""Random schedules of faults, done to real processes: every row stays the fold of its entity's events."""

from __future__ import annotations

import pytest

from tests.e2e.deployment import Place
from tests.faults.run import run_seed
from tests.faults.schedule import Fault, draw
from tests.kafka.apache_kafka import ApacheKafka


def test_a_seed_always_draws_the_same_schedule() -> None:
    assert draw(7) == draw(7)
    assert {step.fault for seed in range(60) for step in draw(seed)} == set(Fault)


@pytest.mark.kafka
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2])
def test_every_row_is_the_fold_of_its_events_whatever_went_wrong(
    seed: int,
    place: Place,
    kafka: ApacheKafka,
) -> None:
    result = run_seed(seed, place, kafka)
    assert result.failure == "", (result.details, draw(seed))
    assert result.rows > 100
