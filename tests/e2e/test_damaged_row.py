"""What no step foresees ends the processor with the records' place: it never looks alive while it stands still."""

from __future__ import annotations

import random

import pytest
import redis

from forebay.pipelines.contract.store.entity_key import decode_entity_key, head_field
from tests.e2e.broker import until
from tests.e2e.conftest import Deploy
from tests.e2e.payments import Disorder, random_payments
from tests.e2e.payments_run import Published, publish

pytestmark = pytest.mark.kafka


def test_a_damaged_row_ends_the_processor_with_the_place_of_its_records(deploy: Deploy, valkey: str) -> None:
    deployment = deploy("damaged")
    deployment.create_topics()
    processor = deployment.processor()
    processor.spawn()
    published = Published({}, {})
    payments = list(random_payments(random.Random(5), 200, Disorder(late_share=0.0)))
    publish(deployment.place, iter(payments), published)
    deployment.wait_until_processed()
    processor.stop()

    view = deployment.place.plan.stream_view("card_activity")
    host, port = valkey.split(":")
    client = redis.Redis(host, int(port))
    for key in client.scan_iter(_type="HASH"):
        head = client.hget(key, head_field(view))
        if decode_entity_key(key, deployment.place.plan.project) is not None and head is not None:
            client.hset(key, head_field(view), head[:-3])
    client.close()

    processor.spawn()
    publish(deployment.place, iter(payments[:50]), published)
    until(lambda: not processor.running, 60, "the end of the processor")
    said = processor.command.log_path.read_text()
    assert f"{deployment.place.topic}[" in said.partition("an unexpected error on ")[2][:80]
    assert "Traceback" in said
