"""Records that are not keyed as the source's tag says: dead letters that name the tag, while all others count."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from forebay.pipelines.contract.kafka.topics import dead_letter_topic
from tests.e2e.broker import PARTITIONS, produce, read_topic
from tests.e2e.conftest import Deploy
from tests.e2e.payments import Disorder, random_payments
from tests.e2e.payments_run import Published, outgoing, publish
from tests.faults.compare import Readable, compare

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]


def test_records_keyed_otherwise_are_refused_and_the_processor_goes_on(deploy: Deploy) -> None:
    deployment = deploy("wrongkey")
    place = deployment.place
    deployment.create_topics()
    processor = deployment.processor()
    processor.spawn()
    published, refused = Published({}, {}), {}
    payments = random_payments(random.Random(6), 700, Disorder(late_share=0.0))
    publish(place, islice(payments, 300), published)
    deployment.wait_until_processed()
    for number, payment in enumerate(islice(payments, 20)):
        right = outgoing(payment)
        wrong = right._replace(key=None) if number % 2 else right._replace(partition=(right.partition + 1) % PARTITIONS)
        (offset,) = produce(place.brokers, place.topic, [wrong])
        refused[wrong.partition, offset] = payment
    publish(place, islice(payments, 300), published)
    deployment.wait_until_processed(60, processor.check_running)
    deployment.wait_until_published(60, processor.check_running)
    letters = read_topic(place.brokers, dead_letter_topic(place.topic))
    found = [dict(each.headers()) for each in letters]
    assert sorted(each["forebay-position"].decode() for each in found) == sorted(
        f"{place.topic}[{partition}]@{offset}" for partition, offset in refused
    )
    assert {each["forebay-reason"] for each in found} == {b"wrong_key"}
    assert all(b"tag key=card_id" in each["forebay-error"] for each in found)
    # Views that Forebay keys itself contain them.
    rows, failure = compare(place, Readable(published.payments, published.payments | refused))
    assert (rows > 100, failure) == (True, "")
    processor.check_running()
