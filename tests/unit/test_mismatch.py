"""A processor that does not go on from the store's progress says so in one line, with a command that repairs it all."""

from types import SimpleNamespace

import pytest
from faust.types import TP

from pipelines.adapters.memory_store import MemoryStore
from pipelines.contract.fence import Lineage
from pipelines.contract.topology import Feed
from pipelines.errors import ProgressMismatch
from pipelines.feature_processor.app import ProcessorApp
from pipelines.feature_processor.progress_ledger import ProgressLedger
from tests.build import HOUR, SOURCE, make_view
from tests.oracle import Window

WINDOWS = [Window("count", "", HOUR, HOUR)]
VIEWS = (make_view(WINDOWS), make_view(WINDOWS, name="others", fingerprint="22" * 8))
FEED = Feed(SOURCE.topic, SOURCE, False, VIEWS, (), ("merchant_activity",))
LIFE = Lineage(SOURCE.topic, "id-1", 4)


def refusal(now: Lineage) -> str:
    store = MemoryStore()
    made = ProgressLedger("shop", FEED, store, LIFE, 0)
    made.load()
    made.advance(9, {view.name: {} for view in VIEWS})
    with pytest.raises(ProgressMismatch) as raised:
        ProgressLedger("shop", FEED, store, now, 0).load()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_topic_made_anew_concerns_the_views_that_are_routed_from_it_too():
    line = refusal(Lineage(SOURCE.topic, "id-2", 4))
    assert "'payments'" in line
    assert "id-1 and 4 partitions" in line
    assert "id-2 and 4 partitions" in line
    assert "`forebay rebuild card_activity others merchant_activity`" in line


def test_more_partitions_concern_the_views_read_from_it_and_the_records_whose_keys_moved():
    line = refusal(Lineage(SOURCE.topic, "id-1", 6))
    assert "4 partitions" in line
    assert "6 partitions" in line
    assert "`forebay rebuild card_activity others`" in line
    assert "first delete the records from before" in line


def start(progress: int, committed: int | None, earliest: int, routes: bool = True, views: bool = True) -> int:
    """Where a partition starts."""
    ledger = SimpleNamespace(offset=progress) if views else None
    pipeline = SimpleNamespace(
        feed=FEED, partitions={0: SimpleNamespace(ledger=ledger)}, router=object() if routes else None
    )
    return ProcessorApp._start(SimpleNamespace(), pipeline, TP(SOURCE.topic, 0), committed, earliest)


def test_a_partition_starts_at_the_first_record_that_views_or_router_have_not_seen():
    assert start(9, 8, 0) == 8
    assert start(9, None, 0) == 0
    assert start(9, 12, 3) == 10
    assert start(-1, 12, 3) == 3
    assert start(9, None, 0, routes=False) == 10
    assert start(-1, None, 3, routes=False) == 3
    assert start(-1, None, 3, views=False) == 3
    # Routed already: a record is routed before progress passes it. The commit was not made in time, or was reset.
    assert start(9, 4, 5) == 5


@pytest.mark.parametrize(
    "behind",
    [
        {"progress": 3, "committed": 3, "earliest": 5},
        {"progress": 3, "committed": None, "earliest": 5, "routes": False},
        # A topic that is only routed has no progress but the commit.
        {"progress": -1, "committed": 4, "earliest": 5, "views": False},
    ],
)
def test_records_lost_before_they_were_read_or_routed_are_named(behind):
    with pytest.raises(ProgressMismatch, match=r"payments\[0\] ends at offset 3, .* from 5.*others merchant_activity`"):
        start(**behind)
