"""Brokers and stores that are not there, go away and come back: the processes wait, and nothing is lost."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from itertools import islice

import httpx
import pytest

from forebay.local.ports import free_port
from forebay.local.process import ChildProcess, StackError
from forebay.local.topics import brokers_missing
from forebay.local.valkey import Valkey, ValkeySettings
from tests.e2e.broker import until
from tests.e2e.checks import check_predictions, check_rows
from tests.e2e.conftest import Deploy
from tests.e2e.payments import Disorder, random_payments
from tests.e2e.payments_run import Published, outcome, predictions, publish
from tests.kafka.apache_kafka import ApacheKafka

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

COUNT = 900
INTERRUPTED_BEFORE_THE_START = 130
"""What shells report of a program that Ctrl-C ended."""

LINES = 150
"""What a process may have to say about a broker that was away twice, though it tries ten times a second."""


@pytest.fixture
def own_store() -> Iterator[Valkey]:
    """A store that keeps what it acknowledged; not started yet."""
    store = Valkey(ValkeySettings(appendonly=True))
    yield store
    store.stop()


@pytest.fixture
def broker(kafka: ApacheKafka) -> Iterator[ApacheKafka]:
    """The broker, to be killed: whatever a test does, the next one finds it running."""
    yield kafka
    if brokers_missing(kafka.bootstrap):
        kafka.start()


def wait_for_log(text: str, *children: ChildProcess) -> None:
    """Until every child, still running, has said so."""
    for child in children:

        def said(child: ChildProcess = child) -> bool:
            child.check_running()
            return text in log_of(child)

        until(said, 30, f"{child.command.name}: {text}")


def log_of(child: ChildProcess) -> str:
    return child.command.log_path.read_text()


def interrupt(*children: ChildProcess, status: int = 0) -> None:
    """Ctrl-C: each ends by itself, in time, and without a traceback."""
    for child in children:
        os.kill(child.pid, signal.SIGINT)
    for child in children:
        until(lambda child=child: not child.running, 10, f"the end of {child.command.name}")  # type: ignore[misc]
        with pytest.raises(StackError, match=f"ended with status {status};"):
            child.check_running()
        assert "Traceback" not in log_of(child)


def test_a_broker_that_comes_late_and_goes_away_delays_events_and_loses_none(
    deploy: Deploy, broker: ApacheKafka
) -> None:
    deployment = deploy("nobroker")
    deployment.create_topics()
    processors = [deployment.processor(f"process-{number}") for number in (1, 2)]
    workers = [deployment.worker(f"score-{number}") for number in (1, 2)]
    published = Published({}, {})
    payments = random_payments(random.Random(1), COUNT, Disorder(late_share=0.0))
    broker.kill()
    for child in (*processors, *workers):
        child.spawn()
    wait_for_log("waiting for the broker", *processors, *workers)
    broker.start()
    deployment.wait_for_members(processors=2, workers=2)
    publish(deployment.place, islice(payments, COUNT // 3), published)
    until(lambda: len(predictions(deployment.place)) > 0, 30, "the first prediction")
    broker.kill()
    interrupt(processors[1], workers[1])
    late = (deployment.processor("process-3"), deployment.worker("score-3"))
    for child in late:
        child.spawn()
    wait_for_log("waiting for the broker", *late)
    interrupt(*late, status=INTERRUPTED_BEFORE_THE_START)
    broker.start()
    for _ in range(2):
        publish(deployment.place, islice(payments, COUNT // 3), published)
    until(lambda: len(predictions(deployment.place)) >= COUNT, 60, "all predictions")
    deployment.wait_until_processed(check=processors[0].check_running)
    interrupt(processors[0], workers[0])
    assert len(log_of(processors[0]).splitlines()) < LINES
    result = outcome(deployment.place, published)
    check_predictions(result)
    check_rows(result)


def test_a_store_that_comes_late_and_goes_away_delays_events_and_loses_none(deploy: Deploy, own_store: Valkey) -> None:
    deployment = deploy("nostore", own_store.address)
    deployment.create_topics()
    port = free_port()
    processor, worker, endpoint = deployment.processor(), deployment.worker(), deployment.endpoint(port)
    for child in (processor, worker, endpoint):
        child.spawn()
    wait_for_log("waiting for the store", processor, worker, endpoint)
    own_store.start()
    deployment.wait_for_members(processors=1, workers=1)
    published = Published({}, {})
    payments = random_payments(random.Random(2), COUNT, Disorder(late_share=0.0))
    publish(deployment.place, islice(payments, COUNT // 3), published)
    until(lambda: len(predictions(deployment.place)) > 0, 30, "the first prediction")
    until(lambda: status(port) == 200, 30, "an answer")
    own_store.kill()
    publish(deployment.place, islice(payments, COUNT // 3), published)
    assert status(port) == 503
    own_store.start()
    publish(deployment.place, islice(payments, COUNT // 3), published)
    until(lambda: len(predictions(deployment.place)) >= COUNT, 60, "all predictions")
    deployment.wait_until_processed(check=processor.check_running)
    assert status(port) == 200
    interrupt(processor, worker, endpoint)
    result = outcome(deployment.place, published)
    check_predictions(result)
    check_rows(result)


def status(port: int) -> int:
    body = {"entities": [{"card_id": 1, "merchant_id": "m", "amount_cents": 1}]}
    try:
        return httpx.post(f"http://127.0.0.1:{port}/v1/predict", json=body, timeout=20).status_code
    except httpx.TransportError:
        return 0
