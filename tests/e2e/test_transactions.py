"""A source topic that is written in transactions: aborted records count nowhere, and every lag comes to 0."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from forebay.local.ports import free_port
from forebay.watch.metrics_page import scrape
from tests.e2e.broker import PARTITIONS, until
from tests.e2e.checks import check_predictions, check_rows
from tests.e2e.conftest import Deploy
from tests.e2e.payments import Disorder, random_payments
from tests.e2e.payments_run import Published, outcome, predictions, publish

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

COUNT = 300
LAG = "forebay_lag_records"


class AbortsLast(random.Random):
    """Draws aborted transactions wherever there may be one: the last of them ends the topic."""

    def random(self) -> float:
        return 0.0

    def randrange(self, *_: object) -> int:
        return 17


def lag(port: int, topic: str) -> float | None:
    """The lag on the topic that a process shows; None while it is not known of every partition."""
    page = scrape(f"http://127.0.0.1:{port}/metrics")
    known = [value for (name, labels), value in page.items() if name == LAG and ("topic", topic) in labels]
    return sum(known) if len(known) == PARTITIONS else None


def test_aborted_records_count_nowhere_and_every_lag_comes_to_0(deploy: Deploy) -> None:
    deployment = deploy("transactions")
    deployment.create_topics()
    ports = [free_port(), free_port()]
    processor = deployment.processor("process-1", "--metrics-port", str(ports[0]))
    worker = deployment.worker("score-1", "--metrics-port", str(ports[1]))
    for child in (processor, worker):
        child.spawn()
    deployment.wait_for_members(processors=1, workers=1)
    published = Published({}, {})
    payments = random_payments(random.Random(4), COUNT, Disorder(late_share=0.0))
    for _ in range(3):
        publish(deployment.place, islice(payments, COUNT // 3), published, transactions=AbortsLast())
    until(lambda: len(predictions(deployment.place)) >= COUNT, 60, "all predictions")
    deployment.wait_until_processed(30, processor.check_running)
    for port in ports:
        until(lambda port=port: lag(port, deployment.place.topic) == 0, 10, "no lag")  # type: ignore[misc]
    for child in (processor, worker):
        child.check_running()
        child.stop()
    result = outcome(deployment.place, published)
    check_predictions(result)
    check_rows(result)
