"""Random schedules of faults, done to real processes: every row stays the fold of its entity's events."""

from __future__ import annotations

import random
import time

import pytest

from forebay.store_walk import entity_rows, opened
from pipelines.contract.entity_key import EntityKeyEncoder, closed_field, feature_field, head_field, timestamp_field
from tests.e2e.deployment import Place
from tests.e2e.payments import random_payments
from tests.e2e.payments_run import Published, publish
from tests.faults.compare import compare
from tests.faults.run import run_seed
from tests.faults.schedule import Fault, draw
from tests.faults.site import Site
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


@pytest.mark.kafka
@pytest.mark.timeout(120)
def test_the_comparison_notices_a_row_too_many_a_row_too_few_and_a_bit_that_is_wrong(
    place: Place, kafka: ApacheKafka
) -> None:
    published = Published({}, {})
    with Site(place, f"faults{time.time_ns() % 1_000_000}", kafka) as site:
        publish(site.place, random_payments(random.Random(5), 200), published)
        site.deployment.wait_until_processed(60.0)
        rows, failure = compare(site.place, published)
        assert (rows > 100, failure) == (True, "")
        view = site.place.plan.stream_views[0]
        names = [key.name for key in view.join_keys]
        with opened(site.place.redis) as client:
            key = next(
                key
                for key, entity in entity_rows(client, site.place.plan.project)
                if list(entity) == names and client.hexists(key, head_field(view))
            )
            good = client.hgetall(key)
            cell = feature_field(view.name, view.features[0].name)
            client.hset(key, cell, client.hget(key, cell)[:-1] + b"\x7f")
            assert "found" in compare(site.place, published)[1]
            client.hdel(key, head_field(view), closed_field(view), timestamp_field(view.name))
            assert "found" in compare(site.place, published)[1]
            client.delete(key)
            client.hset(key, mapping=good)
            assert compare(site.place, published)[1] == ""
            encoder = EntityKeyEncoder(view.join_keys, site.place.plan.project)
            stranger = [1 << 40 if key.dtype != "string" else "stranger" for key in view.join_keys]
            client.hset(encoder(stranger), mapping=good)
            assert "without an event" in compare(site.place, published)[1]
