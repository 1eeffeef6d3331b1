"""Views whose published values may be older than their state by a while: `publish: every`."""

import copy

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.kafka.topics import Feed
from forebay.pipelines.contract.store.keys import held_key
from forebay.pipelines.errors import StoreUnavailable
from forebay.pipelines.feature_processor.rows.held_back import DUE_AFTER, HeldBack
from tests.feature_processor.bad_days import FlakyStore
from tests.feature_processor.partition import CARDS, PROJECT, card, moderately, row, topic_batches
from tests.feature_processor.test_expiry import expire
from tests.feature_processor.test_sweep import CARD_KEY, CHANGED, feast, walk
from tests.support.build import HOUR, SECOND, SOURCE, record

EVERY_S = 10.0
EVERY = msgspec.structs.replace(CARDS, publish_every_ms=10_000)
NAMES = "abcdefghijklmnopqrstuvwxyz"


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


class Processor:
    """A processor of one partition, its clock in hand."""

    def __init__(self, store, view=EVERY, clock=None, partitions=(0,), **options):
        self.clock = clock or Clock()
        feed = Feed(SOURCE.topic, SOURCE, False, (view,), ())
        self.topic = topic_batches(feed, store, monotonic_s=self.clock, **options)
        self.topic.assign(dict.fromkeys(partitions, 0))
        self.topic.begin()

    def pay(self, offset, *names, amount=1.0, partition=0):
        """One payment of each card."""
        log = [record(offset + at, card(name, (offset + at) * SECOND, amount=amount)) for at, name in enumerate(names)]
        self.topic.process({partition: log})
        return offset + len(names)

    def look(self, after_s=0.0):
        """As upkeep does; more than once, as it does when a page is not all."""
        self.clock.now_s += after_s
        for _ in range(20):
            if self.topic.any_due:
                self.topic.publish_due()


def held(store, partition=0):
    return set(store.read_hash(held_key(PROJECT, EVERY.name, SOURCE.topic, partition)))


def summed(store, name):
    """What Feast reads of a card's payments, and what its state says."""
    found = row(store, EVERY, name)
    return feast(store, EVERY, name), found and found[2][0]


def test_the_first_write_is_published_with_its_state_and_what_follows_is_held_back():
    store = MemoryStore()
    processor = Processor(store)
    offset = processor.pay(0, "a")
    assert summed(store, "a") == (1.0, 1.0)
    processor.pay(offset, "a", "b")
    assert (summed(store, "a"), summed(store, "b")) == ((1.0, 2.0), (1.0, 1.0))
    assert held(store) == {CARD_KEY(["a"])}


def test_held_back_values_are_published_within_the_duration_though_no_event_follows():
    store = MemoryStore()
    processor = Processor(store)
    processor.pay(processor.pay(0, "a"), "a")
    processor.look(DUE_AFTER * EVERY_S - 0.1)
    assert summed(store, "a") == (1.0, 2.0)
    processor.look(0.1)
    assert summed(store, "a") == (2.0, 2.0)
    assert held(store) == set()


def test_an_entity_that_never_rests_is_published_once_per_duration():
    store, clock = MemoryStore(), Clock()
    processor = Processor(store, clock=clock)
    offset, seen = 0, []
    for _ in range(200):
        offset = processor.pay(offset, "a")
        seen.append(feast(store, EVERY, "a"))
        processor.look(0.5)
    changes = len(set(seen))
    assert 100 / EVERY_S <= changes <= 100 / (DUE_AFTER * EVERY_S) + 2


def test_a_row_that_rested_for_the_duration_is_published_at_once_again():
    store = MemoryStore()
    processor = Processor(store)
    offset = processor.pay(processor.pay(0, "a"), "a")
    processor.look(EVERY_S)
    processor.look(EVERY_S)
    processor.pay(offset, "a")
    assert summed(store, "a") == (3.0, 3.0)


def test_a_successor_publishes_what_a_killed_processor_held_back():
    """However many rows these are, and whatever it knows of time."""
    store = MemoryStore()
    killed = Processor(store)
    killed.pay(killed.pay(0, *NAMES), *NAMES)
    assert held(store) == {CARD_KEY([name]) for name in NAMES}
    successor = Processor(store)
    successor.look()
    assert {summed(store, name) for name in NAMES} == {(2.0, 2.0)}
    assert held(store) == set()


@pytest.mark.parametrize("failing", range(1, 16))
@pytest.mark.parametrize("how", ["none", "half", "all"])
def test_killed_at_any_call_of_the_store_nothing_stays_unpublished(failing, how):
    """Between state and publication, or between the two and progress: the successor reads the rest, or is told."""
    store = FlakyStore()
    killed = Processor(store)
    offset = killed.pay(0, "a", "b", "c")
    store.failures = {len(store.calls) + failing: how}
    try:
        offset = killed.pay(offset, "a", "b")
        killed.look(EVERY_S)
    except StoreUnavailable:
        pass
    store.failures = {}
    successor = Processor(store)
    reached = successor.topic.partitions[0].ledger.offset
    successor.pay(reached + 1, *"abcabab"[reached + 1 :])
    successor.look(EVERY_S)
    for name in "abc":
        published, state = summed(store, name)
        assert published == state
    assert held(store) == set()


def test_a_partition_that_moves_takes_its_held_back_rows_along_and_leaves_the_others():
    store = MemoryStore()
    both = Processor(store, partitions=(0, 1))
    both.pay(both.pay(0, "a"), "a")
    both.pay(both.pay(0, "b", partition=1), "b", partition=1)
    mover = Processor(store, partitions=(1,))
    mover.look()
    assert (summed(store, "a"), summed(store, "b")) == ((1.0, 2.0), (2.0, 2.0))
    assert (held(store, 0), held(store, 1)) == ({CARD_KEY(["a"])}, set())


def test_what_a_connection_that_was_lost_may_have_lost_is_read_from_the_store_again():
    """A publication that was acknowledged, and is gone though progress is not."""
    store = MemoryStore()
    processor = Processor(store)
    processor.pay(processor.pay(0, "a"), "a")
    before = copy.deepcopy(store.hashes)
    processor.look(EVERY_S)
    assert summed(store, "a") == (2.0, 2.0)
    store.hashes = before
    processor.topic.forget_rows()
    processor.look()
    assert summed(store, "a") == (2.0, 2.0)


def test_a_row_that_another_process_brought_forward_is_published_as_it_is_now():
    store = MemoryStore()
    paused = Processor(store)
    paused.pay(paused.pay(0, "a"), "a")
    owner = Processor(store)
    owner.look()
    owner.pay(owner.pay(2, "a"), "a")
    paused.look(EVERY_S)
    paused.look()
    assert summed(store, "a") == (4.0, 4.0)


def test_a_forgotten_row_is_named_no_more():
    store = MemoryStore()
    processor = Processor(store)
    processor.pay(processor.pay(0, "a"), "a")
    store.remember_erasure(b"erasure", {})
    store.forget(CARD_KEY(["a"]), b"erasure")
    processor.look(EVERY_S)
    assert held(store) == set()
    assert feast(store, EVERY, "a") is None
    assert not processor.topic.any_due


def test_a_row_that_was_removed_as_it_expired_is_named_no_more():
    """Event time may run faster than the clock."""
    store = MemoryStore()
    processor, other = Processor(store), Processor(store)
    processor.pay(processor.pay(0, "a"), "a")
    processor.pay(int(9 * HOUR / SECOND), "b")
    expire(other.topic)
    assert row(store, EVERY, "a") is None
    processor.look(EVERY_S)
    processor.look()
    assert held(store) == set()
    assert feast(store, EVERY, "a") is None
    assert not processor.topic.any_due


def test_a_process_that_only_catches_up_names_nothing_and_publishes_nothing():
    store = MemoryStore()
    live = Processor(store)
    live.pay(live.pay(0, "a"), "a")
    behind = Processor(store, msgspec.structs.replace(CHANGED, publish_every_ms=10_000), publishes=False)
    behind.pay(0, "a", "a")
    behind.look(EVERY_S)
    same = Processor(store, publishes=False)
    same.pay(2, "b", "b")
    same.look(EVERY_S)
    assert held(store) == {CARD_KEY(["a"])}
    assert feast(store, EVERY, "b") is None
    assert summed(store, "a") == (1.0, 2.0)


@pytest.mark.parametrize("every_ms", [0, 20_000])
def test_a_plan_with_another_tag_publishes_what_the_one_before_held_back(every_ms):
    """Its rows are the same: what is published when changes no fingerprint."""
    store = MemoryStore()
    before = Processor(store)
    before.pay(before.pay(0, "a", "b"), "a")
    after = Processor(store, msgspec.structs.replace(EVERY, publish_every_ms=every_ms))
    after.look()
    assert summed(store, "a") == (2.0, 2.0)
    assert held(store) == set()


def test_a_definition_that_takes_over_publishes_its_own_values_of_rows_that_were_held_back():
    store = MemoryStore()
    before = Processor(store)
    before.pay(before.pay(0, "a"), "a", amount=7.0)
    changed = msgspec.structs.replace(CHANGED, publish_every_ms=10_000)
    after = Processor(store, changed)
    log = [record(0, card("a", 0)), record(1, card("a", SECOND, amount=7.0))]
    after.topic.process({0: log})
    after.look()
    walk(after.topic)
    assert feast(store, changed, "a") == 7.0
    assert held(store) == set()


steps = st.lists(
    st.one_of(
        st.tuples(st.just("pay"), st.sampled_from("abc")),
        st.tuples(st.just("wait"), st.floats(0.1, 4.0)),
        st.tuples(st.just("kill"), st.just("")),
        st.tuples(st.just("rebalance"), st.just("")),
    ),
    max_size=60,
)


@moderately
@given(steps=steps)
def test_no_published_value_is_older_than_the_duration_whatever_happens(steps):
    """Against a list of states and the times they were written at; a look comes at least every 0.5 s."""
    store, clock = MemoryStore(), Clock()
    processor, offset = Processor(store, clock=clock), 0
    written = {name: [(0.0, None)] for name in "abc"}

    def check():
        for name, states in written.items():
            shown = feast(store, EVERY, name)
            newer = [at for at, value in states if value is not None and (shown is None or value > shown)]
            assert not newer or clock.now_s - min(newer) <= EVERY_S

    for what, how in steps:
        if what == "pay":
            offset = processor.pay(offset, how)
            written[how].append((clock.now_s, row(store, EVERY, how)[2][0]))
        elif what == "wait":
            for _ in range(int(how / 0.5) + 1):
                processor.look(0.5)
                check()
        elif what == "kill":
            processor = Processor(store, clock=clock)
        else:
            processor.topic.assign({0: 0})
            processor.topic.begin()
        check()


class TestHeldBack:
    """The times alone."""

    @pytest.fixture
    def clock(self):
        return Clock()

    def test_rows_that_were_found_due_too_late_are_published_earlier_from_then_on(self, clock):
        """As where batches take long: the next look may come as late."""
        held = HeldBack(10_000, clock)
        for key in (b"a", b"b"):
            held.written([key], [])
        held.shown([b"a"])
        held.written([], [b"a"])
        clock.now_s += 4.0
        held.shown([b"b"])
        held.written([], [b"b"])
        clock.now_s += 7.0
        assert held.due() == [b"a", b"b"]  # a is 3.5 s late, b due in 0.5 s
        held.written([b"a", b"b"], [])
        assert not held.any_due

    def test_more_rows_than_are_kept_in_mind_are_published_as_they_change(self, clock, monkeypatch):
        monkeypatch.setattr("forebay.pipelines.feature_processor.rows.held_back.MOST_ROWS", 2)
        held, keys = HeldBack(10_000, clock), [b"%d" % at for at in range(5)]
        assert held.shown(keys).all()
        held.written(keys, [])
        assert held.shown(keys).tolist() == [False, False, True, True, True]
        held.written([], keys[:2])
        assert held.shown([b"9"]).all()
        assert held.shown(keys).tolist() == [False, False, True, True, True]
