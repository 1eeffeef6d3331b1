"""A processor that does not go on from the store's progress says so in one line, with a command that repairs it all."""

import pytest

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.kafka.topics import Feed, Route
from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.plan.views import JoinKey
from forebay.pipelines.errors import ProgressMismatch
from forebay.pipelines.feature_processor.progress.ledger import Incarnations, ProgressLedger, encoded
from tests.oracle import Window
from tests.support.build import HOUR, SOURCE, make_view

WINDOWS = [Window("count", "", HOUR, HOUR)]
VIEWS = (make_view(WINDOWS), make_view(WINDOWS, name="others", fingerprint="22" * 8))
FEED = Feed(SOURCE.topic, SOURCE, False, VIEWS, (), ("merchant_activity",))
INCARNATION = Incarnation(SOURCE.topic, "id-1", 4)
ROUTE = Route("shop.merchant.payments", (JoinKey("merchant", DataType.STRING),))
ROUTED_INCARNATION = Incarnation(ROUTE.topic, "id-2", 4).routed_from(INCARNATION)


def refusal(now: Incarnation) -> str:
    store = MemoryStore()
    made = ProgressLedger("shop", FEED, store, Incarnations(INCARNATION), 0)
    made.load(0)
    store.write_hash(made.key, encoded(made.advanced(9, {view.name: {} for view in VIEWS})))
    with pytest.raises(ProgressMismatch) as raised:
        ProgressLedger("shop", FEED, store, Incarnations(now), 0).load(0)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_topic_made_anew_concerns_the_views_that_are_routed_from_it_too():
    line = refusal(Incarnation(SOURCE.topic, "id-2", 4))
    assert "'payments'" in line
    assert "id-1 and 4 partitions" in line
    assert "id-2 and 4 partitions" in line
    assert "`forebay rebuild card_activity others merchant_activity`" in line


def test_more_partitions_concern_the_views_read_from_it_and_the_records_whose_keys_moved():
    line = refusal(Incarnation(SOURCE.topic, "id-1", 6))
    assert "4 partitions" in line
    assert "6 partitions" in line
    assert "`forebay rebuild card_activity others`" in line
    assert "first delete the records from before" in line


def start(progress: int, routed: int, earliest: int) -> int:
    """Where a partition starts that views and rekeyer have read up to these offsets; -1: nothing yet."""
    store = MemoryStore()
    incarnations = Incarnations(INCARNATION, {ROUTE.topic: ROUTED_INCARNATION})
    both = FEED._replace(routes=(ROUTE,))
    for feed, reached in ((FEED, progress), (FEED._replace(views=(), routes=(ROUTE,)), routed)):
        made = ProgressLedger("shop", feed, store, incarnations, 0)
        made.load(0)
        made.begin()
        if reached >= 0:
            store.write_hash(made.key, encoded(made.advanced(reached, {view.name: {} for view in VIEWS})))
    ledger = ProgressLedger("shop", both, store, incarnations, 0)
    ledger.load(earliest)
    return ledger.offset + 1


def test_a_partition_starts_at_the_first_record_that_views_or_routes_have_not_seen():
    assert start(9, 7, 0) == 8
    assert start(9, -1, 0) == 0
    assert start(9, 11, 3) == 10
    assert start(-1, 11, 3) == 3
    assert start(-1, -1, 3) == 3


@pytest.mark.parametrize(("progress", "routed"), [(3, 9), (9, 3), (3, -1), (-1, 3)])
def test_records_lost_before_they_were_read_or_routed_are_named(progress, routed):
    with pytest.raises(ProgressMismatch, match=r"payments\[0\] ends at offset 3, .* from 5.*others merchant_activity`"):
        start(progress, routed, 5)


def test_a_routed_topic_made_anew_is_filled_from_the_beginning():
    """Its views are refused until they are rebuilt; the route has nothing to be rebuilt."""
    store, feed = MemoryStore(), FEED._replace(views=(), routes=(ROUTE,))
    made = ProgressLedger("shop", feed, store, Incarnations(INCARNATION, {ROUTE.topic: ROUTED_INCARNATION}), 0)
    made.load(0)
    store.write_hash(made.key, encoded(made.advanced(9, {})))
    again = ProgressLedger(
        "shop", feed, store, Incarnations(INCARNATION, {ROUTE.topic: Incarnation(ROUTE.topic, "id-3", 4)}), 0
    )
    again.load(0)
    assert again.offset == -1
