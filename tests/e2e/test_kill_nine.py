"""Processors and workers killed with signal 9 while they work: nothing is lost, nothing counts twice."""

from __future__ import annotations

import random
import time
from itertools import islice

import pytest

from forebay.local.process import ChildProcess
from tests.e2e.broker import until
from tests.e2e.checks import check_predictions, check_rows
from tests.e2e.conftest import Deploy
from tests.e2e.deployment import Deployment
from tests.e2e.payments import Disorder, random_payments
from tests.e2e.payments_run import Published, outcome, predictions, publish

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

ROUNDS, BURSTS, BURST = 5, 4, 60


@pytest.mark.parametrize("seed", [9])
def test_killed_processes_lose_no_event_and_repeat_none(deploy: Deploy, seed: int) -> None:
    deployment = deploy(f"killed{seed}")
    deployment.create_topics()
    rng = random.Random(seed)
    processors = [deployment.processor(f"process-{number}") for number in (1, 2)]
    workers = [deployment.worker(f"score-{number}") for number in (1, 2)]
    for child in (*processors, *workers):
        child.spawn()
    deployment.wait_for_members(processors=2, workers=2)
    published = publish_while_killing(deployment, processors, workers, rng)
    until(lambda: len(predictions(deployment.place)) >= len(published.payments), 90, "all predictions")
    deployment.wait_until_processed()
    for child in (*processors, *workers):
        child.check_running()
        child.stop()
    result = outcome(deployment.place, published)
    check_predictions(result)
    check_rows(result)


def publish_while_killing(
    deployment: Deployment, processors: list[ChildProcess], workers: list[ChildProcess], rng: random.Random
) -> Published:
    """Every round kills a processor, a worker, or some of both, at a random moment after new predictions."""
    published = Published({}, {})
    payments = random_payments(rng, ROUNDS * BURSTS * BURST, Disorder(late_share=0.0))
    for _ in range(ROUNDS):
        before = len(predictions(deployment.place))
        doomed = rng.choice([processors[:1], processors, workers[:1], [processors[1], workers[1]], workers])
        moment = rng.randrange(BURSTS)
        for burst in range(BURSTS):
            publish(deployment.place, islice(payments, BURST), published)
            if burst == moment:
                until(lambda before=before: len(predictions(deployment.place)) > before, 60, "a new prediction")  # type: ignore[misc]
                time.sleep(rng.random() * 0.2)  # chosen by chance, to hit any step of the work
                for child in doomed:
                    child.kill()
        for child in doomed:
            child.spawn()
    return published
