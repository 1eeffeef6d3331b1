"""Rows that no event can need any more go: one process walks over those of all, whoever computes them."""

import asyncio
import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.contract.store.entity_key import head_field
from forebay.pipelines.contract.store.keys import progress_field, removed_key
from forebay.pipelines.errors import StoreRolledBack, StoreUnavailable
from forebay.pipelines.feature_processor.upkeep import schedule
from forebay.pipelines.feature_processor.upkeep.claims import HELD_MS, WalkClaims
from forebay.pipelines.feature_processor.upkeep.expiry import ExpiryWalk, expiring
from forebay.pipelines.feature_processor.upkeep.schedule import EXPIRE_EVERY_S, FIRST_EXPIRY_S, Upkeep
from tests.feature_processor.partition import CARDS, PROJECT, card, folded, row
from tests.feature_processor.test_sweep import CARD_KEY, CHANGED, begin, feast
from tests.feature_processor.test_sweep import walk as sweep
from tests.oracle import Event, Window
from tests.support.build import HOUR, MINUTE, START_MS, make_view, record


def expire(topic):
    """One walk, as a process makes it that finds none claimed."""
    claims = WalkClaims(PROJECT, topic.parts.store, 0)
    claims.claim(expiring(topic))
    walk = ExpiryWalk(topic, claims)
    while not walk.page():
        pass


def test_a_definition_that_feast_does_not_read_takes_nothing_of_what_it_reads():
    """The new one's windows are shorter: its row of a silent card can go, the published one's must stay."""
    long = make_view([Window("sum", "amount", 24 * HOUR, HOUR)], fingerprint="66" * 8)
    store, log = MemoryStore(), [record(0, card("a", 0, amount=5.0)), record(1, card("b", 3 * HOUR))]
    begin(store, long).process({0: log})
    behind = begin(store, CARDS, publishes=False)
    behind.process({0: log})
    expire(behind)
    assert (row(store, long, "a") is not None, feast(store, long, "a")) == (True, 5.0)


def test_a_walk_that_began_before_another_process_switched_takes_nothing_of_what_feast_reads():
    """It still believes that its own definition is the published one, whose windows are shorter."""
    long = make_view([Window("sum", "amount", 24 * HOUR, HOUR)], fingerprint="66" * 8)
    store, log = MemoryStore(), [record(0, card("a", 0, amount=5.0)), record(1, card("b", 3 * HOUR))]
    paused = begin(store, CARDS)
    paused.process({0: log})
    switched = begin(store, long)
    switched.process({0: log})
    sweep(switched)
    expire(paused)
    assert feast(store, long, "a") == 5.0


def test_a_row_that_no_event_can_need_goes_with_what_feast_reads_of_it():
    store = MemoryStore()
    pipeline = begin(store, CARDS)
    pipeline.process({0: [record(0, card("a", 0)), record(1, card("b", 4 * HOUR))]})
    expire(pipeline)
    assert (row(store, CARDS, "a"), feast(store, CARDS, "a")) == (None, None)
    assert row(store, CARDS, "b") is not None
    assert store.read_hash(CARD_KEY(["a"])) == {}


def test_what_was_removed_is_told_before_it_goes():
    """An absent row is not that of an entity without events, as of times that the removed one knew of."""
    store = MemoryStore()
    pipeline = begin(store, CARDS)
    pipeline.process({0: [record(0, card("a", 0)), record(1, card("b", 4 * HOUR))]})
    expire(pipeline)
    removed = store.read_hash(removed_key(pipeline.parts.project))
    assert {field: int(value) for field, value in removed.items()} == {progress_field(CARDS): START_MS + 1}


@pytest.mark.parametrize("ahead_ms", [3 * HOUR, 3 * HOUR + 5 * MINUTE])
def test_a_row_that_a_late_event_may_still_need_stays(ahead_ms):
    """The longest window and the horizon are an hour, one event may be as late, and a slide is 5 minutes."""
    store = MemoryStore()
    pipeline = begin(store, CARDS)
    pipeline.process({0: [record(0, card("a", 0)), record(1, card("b", ahead_ms))]})
    expire(pipeline)
    assert row(store, CARDS, "a") is not None


@settings(max_examples=60, deadline=None)
@given(
    events=st.lists(
        st.builds(
            lambda entity, at, amount: Event(entity, at, {"amount": amount}),
            st.sampled_from("abc"),
            st.integers(0, 5 * HOUR),
            st.floats(-1e3, 1e3),
        ),
        max_size=30,
    ),
    walks=st.dictionaries(st.integers(0, 30), st.booleans()),
    again=st.booleans(),
)
def test_rows_that_come_again_are_what_they_would_have_been(events, walks, again):
    """Walks at any moment, by the process that holds the rows in memory or by another one; the records may be read
    again by another process.
    """
    events = [card(each.entity, each.event_ms, each.values["amount"]) for each in events]
    log = [record(at, each) for at, each in enumerate(events)]
    swept, kept = MemoryStore(), MemoryStore()
    pipeline, plain = begin(swept, CARDS), begin(kept, CARDS)
    for at, each in enumerate(log):
        pipeline.process({0: [each]})
        plain.process({0: [each]})
        if at in walks:
            expire(begin(swept, CARDS, partitions=(1,)) if walks[at] else pipeline)
    if again:
        pipeline = begin(swept, CARDS)
        for each in log[pipeline.partitions[0].ledger.offset + 1 :]:
            pipeline.process({0: [each]})
    expire(pipeline)
    for name in "abc":
        found, expected = row(swept, CARDS, name), row(kept, CARDS, name)
        if found is None:
            assert expected is None or expected[1] < max(each.event_ms for each in events) - 2 * HOUR
        else:
            assert found[:2] == expected[:2]
            np.testing.assert_array_equal(found[2], expected[2])


def test_a_row_that_another_process_removed_is_begun_anew_by_the_one_that_remembers_it():
    store, events = MemoryStore(), [card("a", 0, amount=1.0), card("b", 9 * HOUR), card("a", 9 * HOUR, amount=5.0)]
    log = [record(at, each) for at, each in enumerate(events)]
    here, elsewhere = begin(store, CARDS), begin(store, CARDS, partitions=(1,))
    here.process({0: log[:2]})
    expire(elsewhere)
    assert row(store, CARDS, "a") is None
    here.process({0: log[2:]})
    assert row(store, CARDS, "a") == folded(CARDS, [(0, events[0]), (2, events[2])])["a"]


def test_a_row_that_had_not_expired_and_is_gone_tells_that_the_store_lost_it():
    store = MemoryStore()
    here = begin(store, CARDS)
    here.process({0: [record(0, card("a", 0)), record(1, card("b", HOUR))]})
    del store.hashes[CARD_KEY(["a"])]
    with pytest.raises(StoreRolledBack):
        here.process({0: [record(2, card("a", HOUR))]})


def test_a_walk_reads_nothing_but_heads():
    """A head has tens of bytes, closed tiles have thousands; that a row is there is known from its key."""

    class Recording(MemoryStore):
        fields = ()

        def read(self, requests):
            self.fields = (*self.fields, *(field for key, fields in requests if key in rows for field in fields))
            return super().read(requests)

    store, rows = Recording(), {CARD_KEY(["a"]), CARD_KEY(["b"])}
    here = begin(store, CARDS)
    here.process({0: [record(0, card("a", 0)), record(1, card("b", 9 * HOUR))]})
    store.fields = ()
    expire(here)
    assert store.fields == (head_field(CARDS),) * 2


def test_rows_are_judged_by_progress_that_is_no_newer_than_they_are():
    """The store comes back with older data between two pages: what had expired by then need not have expired before."""
    store = MemoryStore()
    here, elsewhere = begin(store, CARDS), begin(store, CARDS, partitions=(1,))
    names = [f"{at:02}" for at in range(30)]
    here.process({0: [record(at, card(name, 0)) for at, name in enumerate(names)]})
    before = copy.deepcopy(store.hashes)
    here.process({0: [record(30, card(names[-1], 9 * HOUR))]})
    claims = WalkClaims(PROJECT, store, 0)
    claims.claim(expiring(elsewhere))
    walk = ExpiryWalk(elsewhere, claims)
    assert not walk.page()
    assert row(store, CARDS, names[0]) is None
    store.hashes, store.breaks = before, store.breaks + 1
    while not walk.page():
        pass
    assert None not in [row(store, CARDS, name) for name in names]


class Watched:
    """A process's connection to the store: counts the rows whose heads it reads, and can die before it removes some."""

    def __init__(self, store, clock):
        self._store, self._clock = store, clock
        self.heads, self.dies = 0, False

    def __getattr__(self, name):
        return getattr(self._store, name)

    def now_ms(self):
        return self._clock.store_ms

    def read(self, requests):
        self.heads += sum(fields[0].startswith(b"_fb:") for _, fields in requests)
        return self._store.read(requests)

    def remove(self, removals):
        if self.dies:
            raise StoreUnavailable("killed")
        return self._store.remove(removals)


class Clock:
    """The time of all processes and of the store; the store is trusted."""

    now_s, store_ms, trusted = 0.0, 1_000_000, True

    def __init__(self):
        self.turn = asyncio.Lock()

    def __call__(self):
        return self.now_s

    def forward(self, seconds):
        self.now_s += seconds
        self.store_ms += int(seconds * 1_000)


class Process:
    """One of several processors, with the upkeep of one topic."""

    def __init__(self, connection, clock, *views, partitions):
        self.store = Watched(connection, clock)
        self.topic = begin(self.store, *views, partitions=partitions)
        self._upkeep = Upkeep(self.topic, clock, tuple, 1e9, clock)

    def look(self):
        asyncio.run(self._upkeep.look())


@pytest.fixture(params=["memory", "valkey"])
def connect(request, monkeypatch):
    """Makes connections to one empty store."""
    monkeypatch.setattr(schedule, "PAGE_PAUSE_S", 0.0)
    if request.param == "memory":
        shared = MemoryStore()
        yield lambda: shared
        return
    made = []

    def store():
        made.append(RedisStore(request.getfixturevalue("valkey")))
        return made[-1]

    yield store
    for each in made:
        each.close()


ENTITIES = 20


def silent(partition):
    return [f"{partition}-silent-{at}" for at in range(ENTITIES)]


def active(partition):
    return [f"{partition}-active-{at}" for at in range(ENTITIES)]


def three_processes(connect, clock):
    """Processes with a partition each, of which half of the rows have expired; nobody has looked yet."""
    made = [Process(connect(), clock, CARDS, partitions=(partition,)) for partition in range(3)]
    for partition, process in enumerate(made):
        events = [card(name, 0) for name in silent(partition)]
        events += [card(name, 9 * HOUR) for name in active(partition)]
        process.topic.process({partition: [record(at, each) for at, each in enumerate(events)]})
        sweep(process.topic)  # which is due at once, for rows that may have to be published
    for process in made:
        process.store.heads = 0
    return made


def left(store, names):
    return [name for name in names if row(store, CARDS, name) is not None]


def all_of(named):
    return [name for partition in range(3) for name in named(partition)]


def test_in_an_hour_every_row_is_read_once_by_one_process_and_not_once_by_each(connect):
    clock = Clock()
    processes = three_processes(connect, clock)
    clock.forward(FIRST_EXPIRY_S)
    for _ in range(60):
        for process in processes:
            process.look()
        clock.forward(EXPIRE_EVERY_S / 61)
    rows = 3 * 2 * ENTITIES
    assert rows <= sum(process.store.heads for process in processes) < 1.5 * rows
    store = connect()
    assert left(store, all_of(silent)) == []
    assert left(store, all_of(active)) == all_of(active)


def test_every_hour_is_walked_by_somebody_even_if_the_one_of_the_hour_before_has_gone(connect):
    clock = Clock()
    processes = three_processes(connect, clock)
    clock.forward(FIRST_EXPIRY_S)
    for process in processes:
        process.look()
    # All that is left in partition 2 expires, and the process that walked leaves.
    processes[2].topic.process({2: [record(2 * ENTITIES, card("newest", 19 * HOUR))]})
    clock.forward(EXPIRE_EVERY_S)
    for process in processes[1:]:
        process.look()
    assert left(connect(), all_of(active)) == [*active(0), *active(1)]


def test_the_walk_of_a_process_that_died_amid_it_is_made_by_another_one(connect):
    clock = Clock()
    dying, *others = three_processes(connect, clock)
    dying.store.dies = True
    clock.forward(FIRST_EXPIRY_S)
    with pytest.raises(StoreUnavailable):
        dying.look()
    for process in others:
        process.look()
    store = connect()
    assert left(store, all_of(silent)) == all_of(silent)
    clock.forward(HELD_MS / 1_000)
    for process in others:
        process.look()
    assert left(store, all_of(silent)) == []


def test_a_process_that_cannot_reach_the_store_amid_its_walk_makes_it_again_itself(connect):
    clock = Clock()
    process = three_processes(connect, clock)[0]
    clock.forward(FIRST_EXPIRY_S)
    process.store.dies = True
    with pytest.raises(StoreUnavailable):
        process.look()
    process.store.dies = False
    process.look()
    assert left(connect(), all_of(silent)) == []


def test_processes_of_different_plans_walk_over_the_definitions_that_each_knows(connect):
    """One follows a newer plan already: the walk of the other is none over the new definition."""
    clock = Clock()
    log = [record(0, card("a", 0)), record(1, card("b", 9 * HOUR))]
    former = Process(connect(), clock, CARDS, partitions=(0,))
    former.topic.process({0: log})
    newer = Process(connect(), clock, CHANGED, partitions=(0,))
    newer.topic.process({0: log})
    clock.forward(FIRST_EXPIRY_S)
    former.look()
    assert row(connect(), CHANGED, "a") is not None
    newer.look()
    assert (row(connect(), CHANGED, "a"), row(connect(), CHANGED, "b") is not None) == (None, True)


def test_a_process_that_stood_still_amid_its_walk_leaves_it_to_the_one_that_took_it_over(connect):
    clock = Clock()
    former, other, _ = three_processes(connect, clock)
    views = expiring(former.topic)
    paused = WalkClaims(PROJECT, former.store, int(EXPIRE_EVERY_S * 1_000), clock)
    paused.claim(views)
    clock.forward(HELD_MS / 1_000)
    successor = WalkClaims(PROJECT, other.store, int(EXPIRE_EVERY_S * 1_000), clock)
    successor.claim(views)
    assert (list(paused.held()), list(successor.held())) == ([], [CARDS])
    successor.complete()
    paused.complete()
    assert paused.claim(views) == EXPIRE_EVERY_S * 1_000
    assert list(paused.held()) == []


def test_a_claim_is_renewed_for_as_long_as_the_walk_lasts(connect):
    clock = Clock()
    walking, other, _ = three_processes(connect, clock)
    views = expiring(walking.topic)
    claims = WalkClaims(PROJECT, walking.store, int(EXPIRE_EVERY_S * 1_000), clock)
    claims.claim(views)
    for _ in range(10):
        clock.forward(HELD_MS / 1_000 / 3)
        assert list(claims.held()) == [CARDS]
    others = WalkClaims(PROJECT, other.store, int(EXPIRE_EVERY_S * 1_000), clock)
    assert others.claim(views) == HELD_MS
    assert list(others.held()) == []


def test_a_claim_of_a_store_whose_clock_was_set_back_holds_nobody_up(connect):
    clock = Clock()
    walking, other, _ = three_processes(connect, clock)
    views = expiring(walking.topic)
    WalkClaims(PROJECT, walking.store, int(EXPIRE_EVERY_S * 1_000), clock).claim(views)
    clock.store_ms -= 24 * HOUR
    others = WalkClaims(PROJECT, other.store, int(EXPIRE_EVERY_S * 1_000), clock)
    others.claim(views)
    assert list(others.held()) == [CARDS]
