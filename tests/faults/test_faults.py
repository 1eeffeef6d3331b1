"""Random schedules of faults, done to real processes: every row stays the fold of its entity's events."""

from __future__ import annotations

from pathlib import Path

import pytest

from forebay.local.process import StackError
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.plan.plan_file import read_plan
from forebay.pipelines.contract.store.entity_key import (
    EntityKeyEncoder,
    closed_field,
    feature_field,
    head_field,
    timestamp_field,
)
from forebay.store.walk import entity_rows, opened
from tests.e2e.deployment import Place
from tests.faults.acts import ACTS
from tests.faults.broken import HarnessError, harness
from tests.faults.changed import PUBLISH_EVERY_MS, with_drawn_publishing
from tests.faults.compare import Readable, compare
from tests.faults.endings import ENDINGS
from tests.faults.events import PRODUCER_BATCH, Events
from tests.faults.result import SeedResult, report_of
from tests.faults.routed import routed_sources
from tests.faults.run import SeedRun, run_seed
from tests.faults.schedule import Ending, Fault, Step, draw, transactions
from tests.faults.site import Site
from tests.kafka.apache_kafka import ApacheKafka
from tests.oracle import Window
from tests.support.build import HOUR, SOURCE, make_view

WINDOWS = [Window("count", "", HOUR, HOUR)]
SEEDS = [343, 761, 1477]
"""Together they have every fault."""
ENDINGS_SEED = 5


def test_a_seed_always_draws_the_same_schedule() -> None:
    assert draw(7) == draw(7)
    schedules = [draw(seed) for seed in range(60)]
    assert {step.fault for each in schedules for step in each.steps} == set(Fault) == set(ACTS)
    assert {each.ending for each in schedules} == {None, *Ending} == {None, *ENDINGS}


def test_some_seeds_write_in_transactions_the_same_ones_each_time() -> None:
    drawn = [transactions(seed) for seed in SEEDS]
    assert {each is None for each in drawn} == {True, False}
    assert [each and each.random() for each in drawn] == [each and each.random() for each in map(transactions, SEEDS)]


def test_some_views_of_a_seed_are_published_with_every_batch_and_others_more_seldom(tmp_path: Path) -> None:
    views = tuple(make_view(WINDOWS, name=f"v{at}") for at in range(6))
    plan = Plan(PLAN_FORMAT, "shop", "0" * 16, "", (SOURCE,), views, (), (), ())
    place = Place(plan, tmp_path / "plan", tmp_path, "", "", tmp_path)
    drawn = [[view.publish_every_ms for view in with_drawn_publishing(place, seed).plan.stream_views] for seed in SEEDS]
    assert drawn == [
        [view.publish_every_ms for view in with_drawn_publishing(place, seed).plan.stream_views] for seed in SEEDS
    ]
    assert {every_ms for each in drawn for every_ms in each} == set(PUBLISH_EVERY_MS)
    assert read_plan(place.plan_file).stream_views == with_drawn_publishing(place, SEEDS[-1]).plan.stream_views


def test_a_seed_always_draws_the_same_events_in_the_same_order() -> None:
    """Whatever the processes do meanwhile."""

    def arriving(seed: int) -> list[bytes]:
        arrived: list[bytes] = []
        events = Events(seed, lambda payments: arrived.extend(each.payload for each in payments))
        events.burst(30)
        assert events.burst_out_of_order(60)
        events.burst_with_duplicates(20)
        assert len(arrived) == 30 + 60 + 20 + (60 - 2 * PRODUCER_BATCH) // 2
        return arrived

    assert arriving(3) == arriving(3) != arriving(4)


def test_what_goes_wrong_with_the_harness_is_counted_neither_as_passed_nor_as_failed() -> None:
    def result(seed: int, **more: str) -> SeedResult:
        return SeedResult(seed=seed, faults={"kill": 1}, events=9, rows=5, routed_duplicates=2, seconds=1.0, **more)

    ours, theirs = SeedRun(1), SeedRun(2)
    with pytest.raises(HarnessError) as raised, harness("starting the broker"):
        raise StackError("it is not ready")
    ours.judge(raised.value)
    theirs.judge(StackError("process-1 ended with status 2;\nsee its log"))
    assert (ours.failure, ours.unjudged) == ("", "starting the broker: it is not ready")
    assert (theirs.failure, theirs.unjudged) == ("process-1 ended with status 2;", "")
    report = report_of([result(2, failure="f"), result(1), result(3, unjudged="u")], jobs=2, seconds=9.0)
    assert (report.passed, report.failed, report.unjudged, report.faults) == (1, 1, 1, {"kill": 3})
    assert [each.seed for each in report.seeds] == [1, 2, 3]


@pytest.mark.kafka
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_row_is_the_fold_of_its_events_whatever_went_wrong(seed: int, place: Place, kafka: ApacheKafka) -> None:
    result = run_seed(seed, place, kafka)
    assert (result.failure, result.unjudged) == ("", ""), (result.details, draw(seed))
    assert result.rows > 100


@pytest.mark.kafka
@pytest.mark.timeout(120)
@pytest.mark.parametrize("ending", Ending)
def test_a_topic_that_is_not_what_it_was_is_refused_and_the_repair_makes_every_row_right(
    ending: Ending, place: Place, kafka: ApacheKafka
) -> None:
    with Site(place, ENDINGS_SEED, kafka) as site:
        site.events.burst(200)
        site.wait_until_complete(60.0)
        site.processors.remove_all()
        readable = ENDINGS[ending](site)
        site.wait_until_complete(60.0)
        rows, failure = compare(site.place, readable)
        assert (rows > 100, failure) == (True, "")


@pytest.mark.kafka
@pytest.mark.timeout(120)
def test_a_process_is_caught_after_it_routed_and_before_it_could_note_so(place: Place, kafka: ApacheKafka) -> None:
    """Otherwise the fault would be drawn and never happen."""
    with Site(place, 5, kafka) as site:
        assert any(
            ACTS[Fault.KILL_AMID_ROUTING](site, Step(40, 0.0, Fault.KILL_AMID_ROUTING, at, 0.1)) for at in range(3)
        )
        site.wait_until_complete(60.0)
        counted = routed_sources(site.place)
        assert [counted[each] for each in site.routed_again] == [2]


@pytest.mark.kafka
@pytest.mark.timeout(120)
def test_the_comparison_notices_a_row_too_many_a_row_too_few_and_a_bit_that_is_wrong(
    place: Place, kafka: ApacheKafka
) -> None:
    with Site(place, 5, kafka) as site:
        site.events.burst(200)
        site.wait_until_complete(60.0)
        readable = Readable.all_of(site.published)
        rows, failure = compare(site.place, readable)
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
            assert "found" in compare(site.place, readable)[1]
            client.hdel(key, head_field(view), closed_field(view), timestamp_field(view.name))
            assert "found" in compare(site.place, readable)[1]
            client.delete(key)
            client.hset(key, mapping=good)
            assert compare(site.place, readable)[1] == ""
            encoder = EntityKeyEncoder(view.join_keys, site.place.plan.project)
            stranger = [1 << 40 if key.dtype != "string" else "stranger" for key in view.join_keys]
            client.hset(encoder(stranger), mapping=good)
            assert "without an event" in compare(site.place, readable)[1]
