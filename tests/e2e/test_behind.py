"""A worker that is behind: rows have gone on, and every window is still whole, or is said not to be."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from forebay.pipelines.contract.kafka.topics import unscored_topic
from tests.e2e.broker import read_topic, until
from tests.e2e.conftest import Deploy
from tests.e2e.deployment import Deployment
from tests.e2e.offline import At, bits, position
from tests.e2e.payments import HOUR, MINUTE, START_MS, random_payments
from tests.e2e.payments_run import Outcome, Published, outcome, predictions, publish
from tests.e2e.place import with_horizon

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

HORIZON_MS = 20 * MINUTE
APART_MS = 4_000
"""Payments come so far apart, about."""
STOPPED = (0.5, 1.0, 3.0)
"""How long the worker is stopped, in horizons of event time."""


def refused(deployment: Deployment) -> dict[At, str]:
    """Events that were not scored, by position, and why."""
    found = {}
    for message in read_topic(deployment.place.brokers, unscored_topic(deployment.place.predictions)):
        unscored = json.loads(message.value())
        assert unscored["reason"] == "incomplete"
        at = position(unscored["source"])
        assert at is not None
        found[at] = unscored["error"]
    return found


@pytest.fixture
def run(deploy: Deploy) -> tuple[Outcome, dict[At, str], list[set[At]]]:
    """Payments of some hours; at three times of them the worker is stopped while the processor goes on."""
    deployment = deploy("behind")
    deployment.place = with_horizon(deployment.place, HORIZON_MS)
    deployment.create_topics()
    deployment.processor().spawn()
    rng = random.Random(7)
    published = Published({}, {})
    stages: list[set[At]] = []
    start_ms = START_MS
    for number, horizons in enumerate((0.0, *STOPPED)):
        before = set(published.payments)
        span_ms = 2 * HOUR if not horizons else int(horizons * HORIZON_MS)
        publish(deployment.place, random_payments(rng, span_ms // APART_MS, start_ms=start_ms), published)
        start_ms += span_ms
        stages.append(set(published.payments) - before)
        deployment.wait_until_processed()
        worker = deployment.worker(f"score-{number}")
        worker.spawn()
        wanted = len(published.payments)
        until(
            lambda wanted=wanted: len(predictions(deployment.place)) + len(refused(deployment)) >= wanted,
            60,
            f"{wanted} events scored or refused",
        )
        worker.stop()
    return outcome(deployment.place, published), refused(deployment), stages


def test_every_feature_of_every_prediction_is_the_oracles_which_keeps_every_event(
    run: tuple[Outcome, dict[At, str], list[set[At]]],
) -> None:
    result, unscored, stages = run
    scored = {position(each["source"]) for each in result.predictions}
    assert scored | unscored.keys() == set(result.published.payments)
    assert not scored & unscored.keys()
    for prediction in result.predictions:
        assert all(prediction["complete"].values())
        found, expected = prediction["features"], result.expected_features(prediction)
        assert {name: bits(at) for name, at in found.items()} == {name: bits(at) for name, at in expected.items()}
        assert_bounded(prediction)
    assert all("incomplete as of" in error for error in unscored.values())
    half, once, three = ([at for at in unscored if at in stage] for stage in stages[1:])
    assert len(half) <= len(once) < len(three)
    for stage in stages:
        newest_ms = max(result.published.payments[at].event_ms for at in stage)
        for at in unscored.keys() & stage:
            assert result.published.payments[at].event_ms < newest_ms - HORIZON_MS


def assert_bounded(prediction: dict[str, Any]) -> None:
    """The shortest slide of every view divides an hour."""
    assert all(0 <= ahead_ms < HOUR for ahead_ms in prediction["ahead_ms"].values())
