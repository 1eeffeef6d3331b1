"""What is done for a feed between batches, and when."""

import asyncio
import threading

import pytest

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.store.keys import progress_field
from forebay.pipelines.contract.store.lease import Lease, encode_lease, leases_key
from forebay.pipelines.errors import StoreUnavailable
from forebay.pipelines.feature_processor.upkeep import schedule as module
from forebay.pipelines.feature_processor.upkeep.schedule import EXPIRE_EVERY_S, FIRST_EXPIRY_S, LOOK_AGAIN_S, Upkeep
from tests.feature_processor.bad_days import FlakyStore
from tests.feature_processor.partition import CARDS, OnePartition, card, folded, progress, row
from tests.feature_processor.test_sweep import CHANGED, begin, feast, payments, walk
from tests.support.build import HOUR, record

RETIRE_AFTER_S = 600.0


class Clock:
    """The time, and what membership would say."""

    now_s, trusted, checks = 0.0, True, 0

    def __init__(self):
        self.turn = asyncio.Lock()

    def __call__(self):
        return self.now_s

    async def check_store(self):
        self.checks += 1


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch):
    monkeypatch.setattr(module, "PAGE_PAUSE_S", 0.0)


def cared_for(pipeline, wanted=()):
    """Upkeep, its clock, and how to let it look."""
    clock = Clock()

    async def make():
        return Upkeep(pipeline, clock, lambda: wanted, RETIRE_AFTER_S, clock)

    upkeep = asyncio.run(make())
    return clock, lambda: asyncio.run(upkeep.look())


def silent(store):
    """A feed in which card a has been silent for so long that its row can go."""
    pipeline = begin(store, CARDS)
    pipeline.process({0: [record(0, card("a", 0))]})
    walk(pipeline)  # a first one is due at once, for rows that may have to be published
    pipeline.process({0: [record(1, card("b", 9 * HOUR))]})
    return pipeline


def test_rows_that_nothing_needs_go_a_minute_after_the_start_and_then_every_hour():
    store = MemoryStore()
    pipeline = silent(store)
    clock, look = cared_for(pipeline)
    look()
    assert row(store, CARDS, "a") is not None
    clock.now_s = FIRST_EXPIRY_S
    look()
    assert row(store, CARDS, "a") is None
    pipeline.process({0: [record(2, card("c", 20 * HOUR))]})
    look()
    assert row(store, CARDS, "b") is not None
    clock.now_s += EXPIRE_EVERY_S
    look()
    assert row(store, CARDS, "b") is None


def test_rows_that_have_to_be_published_do_not_wait():
    store = MemoryStore()
    begin(store, CARDS, publishes=False).process({0: [record(0, card("a", 0, amount=5.0))]})
    pipeline = begin(store, CARDS)
    _, look = cared_for(pipeline)
    look()
    assert feast(store, CARDS, "a") == 5.0
    assert not pipeline.publications.incomplete(CARDS, 0)


def test_rows_that_another_process_wrote_unpublished_meanwhile_are_published_too():
    """A process that has switched already, and one that still catches up."""
    store, (_, log) = MemoryStore(), payments(40, "ab")
    behind, pipeline = begin(store, CARDS, publishes=False), begin(store, CARDS)
    clock, look = cared_for(pipeline)
    look()
    assert not pipeline.publications.incomplete(CARDS, 0)
    behind.process({0: log})
    assert begin(store, CARDS).publications.incomplete(CARDS, 0)
    clock.now_s = LOOK_AGAIN_S
    look()
    assert feast(store, CARDS, "a") == sum(range(0, 40, 2))
    assert not begin(store, CARDS).publications.incomplete(CARDS, 0)


def test_a_definition_that_was_replaced_is_given_up_after_a_while_with_its_rows():
    store = MemoryStore()
    begin(store, CARDS).process({0: [record(0, card("a", 0))]})
    pipeline = begin(store, CHANGED)
    pipeline.process({0: [record(0, card("a", 0))]})
    clock, look = cared_for(pipeline)
    look()
    assert row(store, CARDS, "a") is not None
    clock.now_s = RETIRE_AFTER_S
    look()
    assert row(store, CARDS, "a") is not None
    clock.now_s *= 2
    look()
    assert (row(store, CARDS, "a"), row(store, CHANGED, "a")[0]) == (None, 0)


@pytest.mark.parametrize("wanted", [True, False])
def test_one_that_is_being_brought_up_is_kept(wanted):
    """It moves, or it is of a plan to come, and stands still for want of events."""
    store, (events, log) = MemoryStore(), payments(40, "ab")
    live = begin(store, CARDS)
    live.process({0: log})
    clock, look = cared_for(live, {CHANGED.fingerprint} if wanted else ())
    look()
    for count in (20, 20 if wanted else 30, 40):
        # As after a rebalance of its group: no row is cached.
        behind = OnePartition(begin(store, CHANGED, publishes=False), 0)
        behind.process(log[behind.ledger.offset + 1 : count] or log[:1])
        clock.now_s += RETIRE_AFTER_S
        look()
    mine = [(at, each) for at, each in enumerate(events) if each.entity == "a"]
    assert row(store, CHANGED, "a") == folded(CHANGED, mine)["a"]


def test_one_that_has_not_been_caught_up_with_is_kept():
    store = MemoryStore()
    begin(store, CARDS).process({0: [record(0, card("a", 0)), record(1, card("a", 1))]})
    pipeline = begin(store, CHANGED)
    pipeline.process({0: [record(0, card("a", 0))]})
    clock, look = cared_for(pipeline)
    for clock.now_s in (RETIRE_AFTER_S, 2 * RETIRE_AFTER_S):
        look()
    assert row(store, CARDS, "a") is not None


def test_nothing_is_done_while_the_store_may_have_fallen_back():
    """A row of before looks as if nothing had come for long."""
    store = MemoryStore()
    begin(store, CARDS).process({0: [record(0, card("a", 0))]})
    pipeline = begin(store, CHANGED)
    pipeline.process({0: [record(0, card("a", 0))]})
    clock, look = cared_for(pipeline)
    look()
    clock.now_s = RETIRE_AFTER_S
    look()
    pipeline.process({0: [record(1, card("b", 9 * HOUR))]})
    clock.now_s, clock.trusted = RETIRE_AFTER_S + EXPIRE_EVERY_S, False
    look()
    assert clock.checks == 1
    assert None not in (row(store, CARDS, "a"), row(store, CHANGED, "a"))
    clock.trusted = True
    look()
    assert [row(store, CARDS, "a"), row(store, CHANGED, "a")] == [None, None]


def test_a_store_that_does_not_answer_only_delays_it():
    store = FlakyStore()
    pipeline = silent(store)
    clock, look = cared_for(pipeline)
    clock.now_s = FIRST_EXPIRY_S
    store.failures = {len(store.calls) + 1: "none"}
    with pytest.raises(StoreUnavailable):
        look()
    look()
    assert row(store, CARDS, "a") is None


class StuckStore(MemoryStore):
    """Does not answer a ping until it is let."""

    def __init__(self):
        super().__init__()
        self.asked, self.let = threading.Event(), threading.Event()

    def ping(self):
        self.asked.set()
        assert self.let.wait(30)


def test_upkeep_that_is_stopped_keeps_the_lock_until_its_thread_has_left_the_connection():
    """Or a batch would begin on the same connection, amid the answer to the other call."""
    store = StuckStore()
    pipeline = begin(store, CARDS)

    async def stop_amid_a_call():
        clock = Clock()
        upkeep = Upkeep(pipeline, clock, lambda: (), RETIRE_AFTER_S, clock)
        looking = asyncio.create_task(upkeep.look())
        await asyncio.to_thread(store.asked.wait, 30)
        for _ in range(2):
            looking.cancel()
            await asyncio.sleep(0.05)
            assert clock.turn.locked()
            assert not looking.done()
        store.let.set()
        with pytest.raises(asyncio.CancelledError):
            await looking
        assert not clock.turn.locked()

    asyncio.run(stop_amid_a_call())


class TestLeased:
    """A definition that a scorer still reads."""

    def lease(self, store, seconds):
        lease = Lease(store.now_ms() + int(seconds * 1_000), frozenset({progress_field(CARDS)}))
        store.write_hash(leases_key("shop"), {b"scorer": encode_lease(lease)})

    def test_neither_its_progress_nor_its_rows_go_until_the_lease_is_released(self):
        store = MemoryStore()
        begin(store, CARDS).process({0: [record(0, card("a", 0))]})
        pipeline = begin(store, CHANGED)
        pipeline.process({0: [record(0, card("a", 0))]})
        clock, look = cared_for(pipeline)
        self.lease(store, 60)
        for clock.now_s in (RETIRE_AFTER_S * at for at in range(6)):
            look()
        assert row(store, CARDS, "a") is not None
        assert progress(store, CARDS) == 0
        store.remove_from_hash(leases_key("shop"), [b"scorer"])
        clock.now_s += RETIRE_AFTER_S
        look()
        assert (row(store, CARDS, "a"), progress(store, CARDS)) == (None, None)
        assert row(store, CHANGED, "a") is not None

    def test_the_lapsed_lease_of_a_killed_scorer_keeps_nothing(self):
        store = MemoryStore()
        begin(store, CARDS).process({0: [record(0, card("a", 0))]})
        pipeline = begin(store, CHANGED)
        pipeline.process({0: [record(0, card("a", 0))]})
        clock, look = cared_for(pipeline)
        self.lease(store, -1)
        for clock.now_s in (RETIRE_AFTER_S * at for at in range(3)):
            look()
        assert row(store, CARDS, "a") is None


def test_a_definition_that_became_level_elsewhere_is_published_where_no_events_come():
    store = MemoryStore()
    old = begin(store, CARDS, partitions=(0, 1))
    old.process({1: [record(0, card("a", 0))]})
    here = begin(store, CHANGED, partitions=(0,))
    _, look = cared_for(here)
    look()
    assert not here.publications.published(CHANGED)
    begin(store, CHANGED, partitions=(1,), publishes=False).process({1: [record(0, card("a", 0))]})
    look()
    assert here.publications.published(CHANGED)
