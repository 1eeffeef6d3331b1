"""A topic deleted and made anew under running processes, longer than they had read: they refuse to read on."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from forebay.local.process import ChildProcess, StackError
from tests.e2e.broker import PARTITIONS, until
from tests.e2e.conftest import Deploy
from tests.e2e.payments import Disorder, random_payments
from tests.e2e.payments_run import Published, predictions, publish
from tests.faults.topics import incarnation_of, make_anew

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]


def refusal(child: ChildProcess) -> str:
    """The line that a process ended with by itself."""
    until(lambda: not child.running, 60, f"the end of {child.command.name}")
    with pytest.raises(StackError, match="ended with status 2;"):
        child.check_running()
    said = child.command.log_path.read_text()
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    return line


def test_a_topic_made_anew_is_refused_by_all_that_read_it(deploy: Deploy) -> None:
    deployment = deploy("anew")
    place = deployment.place
    deployment.create_topics()
    processor, worker = deployment.processor(), deployment.worker()
    for child in (processor, worker):
        child.spawn()
    deployment.wait_for_members(processors=1, workers=1)
    payments = random_payments(random.Random(8), 300, Disorder(late_share=0.0))
    publish(place, islice(payments, 100), Published({}, {}))
    deployment.wait_until_processed()
    until(lambda: len(predictions(place)) >= 100, 60, "all predictions")
    before = incarnation_of(place.brokers, place.topic)
    make_anew(place.brokers, place.topic, PARTITIONS)
    publish(place, payments, Published({}, {}))
    now = incarnation_of(place.brokers, place.topic)
    for child, repair in ((processor, "forebay rebuild"), (worker, "--reset-offsets --to-earliest")):
        line = refusal(child)
        for part in (place.topic, before.topic_id, now.topic_id, repair):
            assert part in line
