"""Events that every process refused are replayed after the mend: scored once, and in every row once."""

from __future__ import annotations

import json
import random
import time
from collections import Counter

import msgspec
import pytest

from forebay.pipelines.contract.kafka.recipients import only_for
from forebay.pipelines.contract.kafka.topics import dead_letter_topic
from forebay.pipelines.contract.plan.plan_file import write_plan
from tests.e2e.broker import read_topic, until
from tests.e2e.checks import check_rows
from tests.e2e.conftest import Deploy
from tests.e2e.deployment import Deployment, run_forebay
from tests.e2e.offline import position
from tests.e2e.payments import HOUR, Disorder, random_payments
from tests.e2e.payments_run import Published, outcome, predictions, publish

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

COUNT, REFUSED = 120, 40
AHEAD_MS = 30 * 24 * HOUR


def mend(deployment: Deployment) -> None:
    """Events may be as far ahead of their records as the refused ones are."""
    place = deployment.place
    sources = tuple(msgspec.structs.replace(each, allowed_ahead_ms=2 * AHEAD_MS) for each in place.plan.sources)
    plan = msgspec.structs.replace(place.plan, sources=sources)
    write_plan(plan, place.plan_file)
    deployment.place = place._replace(plan=plan)


def replay(deployment: Deployment, *options: str) -> dict[str, int]:
    place = deployment.place
    done = run_forebay(
        *("dlq", "replay", place.topic, "--plan", str(place.plan_file), "--brokers", place.brokers, "--json"), *options
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    found: dict[str, int] = json.loads(done.stdout)
    return found


def test_refused_events_are_scored_and_counted_once_after_the_mend(deploy: Deploy) -> None:
    deployment = deploy("deadletters")
    deployment.create_topics()
    processes = [deployment.processor(), deployment.worker()]
    for child in processes:
        child.spawn()
    published, refused = Published({}, {}), Published({}, {})
    rng, orderly = random.Random(3), Disorder(back_ms=2, late_share=0.0)
    publish(deployment.place, random_payments(rng, COUNT, orderly), published)
    ahead_ms = int(time.time() * 1_000) + AHEAD_MS
    publish(deployment.place, random_payments(rng, REFUSED, orderly, start_ms=ahead_ms), refused)
    letters = (deployment.place.brokers, dead_letter_topic(deployment.place.topic))
    until(lambda: len(read_topic(*letters)) >= 2 * REFUSED, 60, "a dead letter by each process")
    until(lambda: len(predictions(deployment.place)) >= COUNT, 60, "all other predictions")
    for child in processes:
        child.stop()
    mend(deployment)
    for child in processes:
        child.spawn()
    assert replay(deployment, "--dry-run")["sent"] == 2 * REFUSED
    assert replay(deployment)["sent"] == 2 * REFUSED
    assert replay(deployment)["sent"] == 0
    after_ms = ahead_ms + HOUR
    publish(deployment.place, random_payments(rng, COUNT, orderly, start_ms=after_ms), published)
    until(lambda: len(predictions(deployment.place)) >= 2 * COUNT + REFUSED, 60, "all predictions")
    deployment.wait_until_processed()
    scored = set(published.payments)
    for message in read_topic(deployment.place.brokers, deployment.place.topic):
        recipients = only_for(message.headers() or ())
        if recipients is None:
            continue
        first = position(dict(message.headers())["forebay-replay-of"].decode())
        at = (message.partition(), message.offset())
        assert first is not None
        assert message.value() == refused.payments[first].payload
        if recipients.views:
            published.payments[at] = refused.payments[first]
        else:
            scored.add(at)
    for child in processes:
        child.check_running()
        child.stop()
    in_order = Published(dict(sorted(published.payments.items())), {})
    result = outcome(deployment.place, in_order)
    assert Counter(position(each["source"]) for each in result.predictions) == dict.fromkeys(scored, 1)
    assert all(each["barrier_met"] for each in result.predictions)
    assert len(published.payments) == 2 * COUNT + REFUSED
    check_rows(result)
    assert len(read_topic(*letters)) == 2 * REFUSED
