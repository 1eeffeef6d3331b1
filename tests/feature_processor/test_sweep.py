"""Definitions side by side: who is published, and what a walk over the rows publishes and removes."""

import copy

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.kafka.topics import Feed
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder, feature_field, head_field, timestamp_field
from forebay.pipelines.contract.store.publication import is_published, publication_key
from forebay.pipelines.contract.store.values import decode_value
from forebay.pipelines.feature_processor.upkeep.sweep import Sweep
from tests.feature_processor.bad_days import FlakyStore
from tests.feature_processor.partition import (
    CARDS,
    PROJECT,
    card,
    folded,
    row,
    topic_batches,
)
from tests.oracle import Window
from tests.support.build import HOUR, MINUTE, SECOND, SOURCE, make_view, record

CHANGED = make_view([Window("max", "amount", HOUR, 5 * MINUTE)] * 4, fingerprint="44" * 8)
CARD_KEY = EntityKeyEncoder(CARDS.join_keys, PROJECT)


def assign(store, *views, publishes=True, partitions=(0,)):
    """A feed's pipelines that have read where they are, and said nothing yet."""
    feed = Feed(SOURCE.topic, SOURCE, False, views, ())
    shared = topic_batches(feed, store, publishes=publishes)
    shared.assign(dict.fromkeys(partitions, 0))
    return shared


def begin(store, *views, **options):
    """A feed's pipelines, as after an assignment."""
    shared = assign(store, *views, **options)
    shared.begin()
    return shared


def feast(store, view, entity):
    """What the Feast SDK would find of the first feature."""
    ((time, value),) = store.read(
        [(CARD_KEY([entity]), [timestamp_field(view.name), feature_field(view.name, view.features[0].name)])]
    )
    return None if time is None else decode_value(value)


def walk(pipeline, retired=None):
    each = Sweep(pipeline, retired or {})
    while not each.page():
        pass


def retire(pipeline, view):
    """Gives up another definition of the first view; what a walk is told of it."""
    pipeline.partitions[0].ledger.retire(view, {view.fingerprint})
    return {view.fingerprint}


def payments(count, entities="abcdefghijklmno"):
    events = [card(entities[at % len(entities)], at * SECOND, amount=float(at)) for at in range(count)]
    return events, [record(at, each) for at, each in enumerate(events)]


class TestPublication:
    def test_a_first_definition_is_published_at_once(self):
        store = MemoryStore()
        pipeline = begin(store, CARDS)
        pipeline.process({0: payments(3)[1]})
        assert feast(store, CARDS, "a") == 0.0

    def test_it_is_complete_after_a_walk_for_there_may_have_been_rows_before(self):
        """Of a process that catches up, and was quicker to begin than the one that publishes."""
        store, (_, log) = MemoryStore(), payments(20, "ab")
        behind = begin(store, CARDS, publishes=False)
        publishing = assign(store, CARDS)
        behind.process({0: log})
        publishing.begin()
        successor = begin(store, CARDS)
        assert successor.publications.incomplete(CARDS, 0)
        walk(successor)
        assert not successor.publications.incomplete(CARDS, 0)
        assert feast(store, CARDS, "a") == sum(range(0, 20, 2))

    def test_a_changed_definition_waits_until_it_has_come_as_far(self):
        store, (_, log) = MemoryStore(), payments(30)
        begin(store, CARDS).process({0: log[:20]})
        before = feast(store, CARDS, "e")
        changed = begin(store, CHANGED)
        changed.process({0: log[:10]})
        assert (feast(store, CARDS, "e"), changed.publications.published(CHANGED)) == (before, False)
        changed.process({0: log[10:20]})
        assert changed.publications.published(CHANGED)
        changed.process({0: log[20:]})
        assert feast(store, CHANGED, "a") == 15.0

    def test_a_process_that_only_catches_up_publishes_nothing(self):
        store, (_, log) = MemoryStore(), payments(20)
        begin(store, CARDS, publishes=False).process({0: log})
        assert feast(store, CARDS, "a") is None
        assert row(store, CARDS, "a") is not None

    def test_what_was_caught_up_is_published_by_a_walk_after_the_switch(self):
        store, (_, log) = MemoryStore(), payments(20)
        begin(store, CARDS, publishes=False).process({0: log})
        pipeline = begin(store, CARDS)
        assert pipeline.publications.incomplete(CARDS, 0)
        walk(pipeline)
        assert not pipeline.publications.incomplete(CARDS, 0)
        assert [feast(store, CARDS, name) for name in "afg"] == [15.0, 5.0, 6.0]
        assert not begin(store, CARDS).publications.incomplete(CARDS, 0)

    def test_a_walk_that_was_broken_off_by_a_rebalance_is_walked_again(self):
        store, (_, log) = MemoryStore(), payments(40, "abcdefghijklmnopqrstuvwxyz")
        begin(store, CARDS, publishes=False).process({0: log})
        pipeline = begin(store, CARDS)
        broken_off = Sweep(pipeline, {})
        assert not broken_off.page()
        pipeline.assign({0: 0})
        pipeline.begin()
        while not broken_off.page():
            pass
        assert pipeline.publications.incomplete(CARDS, 0)
        walk(pipeline)
        assert None not in [feast(store, CARDS, name) for name in "abcdefghijklmnopqrstuvwxyz"]

    def test_a_row_that_another_process_wrote_first_is_published_by_the_one_that_publishes(self):
        """As a process does that still catches up when the other has switched already."""
        store, (_, log) = MemoryStore(), payments(40, "ab")
        pipeline = begin(store, CARDS)
        pipeline.process({0: log[:10]})
        begin(store, CARDS, publishes=False).process({0: log[10:30]})
        pipeline.process({0: log[10:20]})
        assert feast(store, CARDS, "a") == sum(range(0, 30, 2))
        begin(store, CARDS).process({0: log[30:]})
        assert feast(store, CARDS, "b") == sum(range(1, 40, 2))

    def test_rows_of_a_process_that_catches_up_are_published_even_if_the_one_that_switched_dies(self):
        store, (_, log) = MemoryStore(), payments(40, "ab")
        behind = begin(store, CARDS, publishes=False)
        begin(store, CARDS).process({0: log[:10]})
        behind.process({0: log[:30]})
        successor = begin(store, CARDS)
        assert successor.partitions[0].ledger.offset == 29
        walk(successor)
        assert [feast(store, CARDS, name) for name in "ab"] == [sum(range(0, 30, 2)), sum(range(1, 30, 2))]

    def test_rows_that_were_written_behind_a_walk_are_published_by_another_one(self):
        store, (events, log) = MemoryStore(), payments(60, "abcdefghijklmnopqrstuvwxyz")
        behind = begin(store, CARDS, publishes=False)
        behind.process({0: log[:40]})
        switched = begin(store, CARDS)
        each = Sweep(switched, {})
        while feast(store, CARDS, "a") is None:
            assert not each.page()
        behind.process({0: log[40:]})
        while not each.page():
            pass
        assert switched.publications.incomplete(CARDS, 0)
        successor = begin(store, CARDS)
        assert successor.partitions[0].ledger.offset == 59
        walk(successor)
        names = {event.entity for event in events}
        assert {name: feast(store, CARDS, name) for name in names} == {
            name: row(store, CARDS, name)[2][0] for name in names
        }
        assert not successor.publications.incomplete(CARDS, 0)

    def test_rows_are_known_to_be_unpublished_before_progress_is_behind_them(self):
        """Killed in between, a process that catches up leaves rows that are read again, or published."""
        store, (_, log) = FlakyStore(), payments(40, "ab")
        behind = begin(store, CARDS, publishes=False)
        publishing = begin(store, CARDS)
        publishing.process({0: log[:10]})
        walk(publishing)
        store.calls.clear()
        behind.process({0: log[:30]})
        assert store.calls == ["read", "send", "answers", "read_hash", "replace_in_hash", "write_hash"]

    def test_a_definition_that_was_published_meanwhile_is_not_put_back(self):
        store, (_, log) = FlakyStore(), payments(20, "ab")
        behind = begin(store, CARDS, publishes=False)
        begin(store, CARDS).process({0: log[:10]})
        newest = begin(store, CHANGED)

        def switch():
            store.before_replacing = lambda: None
            newest.process({0: log})

        store.before_replacing = switch
        behind.process({0: log[:10]})
        assert is_published(store.read_hash(publication_key(PROJECT, CHANGED.name)), CHANGED)

    def test_a_writer_of_the_old_definition_that_stood_still_leaves_what_feast_reads_alone(self):
        """It has fetched records before another one switched, and wakes up; its own state is its own."""
        store, (events, log) = MemoryStore(), payments(20, "ab")
        paused = begin(store, CARDS)
        paused.process({0: log[:10]})
        switched = begin(store, CHANGED)
        switched.process({0: log})
        walk(switched)
        paused.process({0: log[10:14]})
        assert feast(store, CHANGED, "a") == 18.0
        mine = [(at, each) for at, each in enumerate(events[:14]) if each.entity == "a"]
        assert row(store, CARDS, "a") == folded(CARDS, mine)["a"]

    def test_what_a_store_lost_of_publications_is_published_again(self):
        """No progress tells that it fell back: nothing was read since."""
        store, (_, log) = MemoryStore(), payments(20, "ab")
        begin(store, CARDS, publishes=False).process({0: log})
        pipeline = begin(store, CARDS)
        before = copy.deepcopy(store.hashes)
        del before[publication_key(PROJECT, CARDS.name)]
        walk(pipeline)
        store.hashes = before
        pipeline.publications.take_over_again()
        walk(pipeline)
        assert feast(store, CARDS, "a") == sum(range(0, 20, 2))

    def test_a_row_that_vanishes_between_two_looks_is_no_failure(self):
        """Another process removes it: it has expired, or is to be forgotten."""

        class Vanishing(MemoryStore):
            vanish = False

            def read(self, requests):
                found = super().read(requests)
                if self.vanish:
                    self.hashes = {key: fields for key, fields in self.hashes.items() if key not in dict(requests)}
                return found

        store, (_, log) = Vanishing(), payments(4, "ab")
        one, other = begin(store, CARDS), begin(store, CARDS)
        one.process({0: log})
        store.vanish = True
        other.process({0: log})
        assert row(store, CARDS, "a") is None

    def test_rows_of_partitions_that_others_read_are_left_alone(self):
        store, (_, log) = MemoryStore(), payments(20)
        begin(store, CARDS, publishes=False).process({0: log})
        elsewhere = begin(store, CARDS, partitions=(1,))
        walk(elsewhere)
        assert feast(store, CARDS, "a") is None


class TestHeadsFirst:
    def test_a_row_that_goes_between_its_head_and_the_rest_is_not_published(self):
        class Vanishing(MemoryStore):
            def read(self, requests):
                found = super().read(requests)
                if all(fields == (head_field(CARDS),) for _, fields in requests):
                    self.hashes = {key: row for key, row in self.hashes.items() if key not in dict(requests)}
                return found

        store, (_, log) = MemoryStore(), payments(4, "ab")
        begin(store, CARDS, publishes=False).process({0: log})
        vanishing = Vanishing()
        vanishing.hashes = store.hashes
        walk(begin(vanishing, CARDS))
        assert feast(vanishing, CARDS, "a") is None


class TestRetired:
    def test_the_rows_of_a_definition_that_was_given_up_go_and_the_present_ones_stay(self):
        store, (events, log) = MemoryStore(), payments(20)
        begin(store, CARDS).process({0: log})
        pipeline = begin(store, CHANGED)
        pipeline.process({0: log})
        gone = retire(pipeline, CARDS)
        walk(pipeline, {CHANGED.name: gone})
        assert row(store, CARDS, "a") is None
        mine = [(at, each) for at, each in enumerate(events) if each.entity == "a"]
        assert row(store, CHANGED, "a") == folded(CHANGED, mine)["a"]
        assert feast(store, CHANGED, "a") == 15.0

    def test_a_definition_that_has_come_back_meanwhile_keeps_its_rows(self):
        store, (_, log) = MemoryStore(), payments(20)
        begin(store, CARDS).process({0: log})
        pipeline = begin(store, CHANGED)
        pipeline.process({0: log})
        gone = retire(pipeline, CARDS)
        begin(store, CARDS)
        walk(pipeline, {CHANGED.name: gone})
        assert row(store, CARDS, "a") is not None

    def picky(self):
        """A definition that does not know every entity."""
        return make_view(
            [Window("sum", "amount", HOUR, 5 * MINUTE)],
            udf=lambda events: events[events["amount"] > 5],
            fingerprint="77" * 8,
        )

    def test_what_feast_reads_of_an_entity_that_the_present_definition_does_not_know_goes_too(self):
        store, log = MemoryStore(), [record(0, card("a", 0, amount=1.0)), record(1, card("b", 1, amount=9.0))]
        picky = self.picky()
        begin(store, CARDS).process({0: log})
        pipeline = begin(store, picky)
        pipeline.process({0: log})
        walk(pipeline, {picky.name: retire(pipeline, CARDS)})
        assert (feast(store, picky, "a"), feast(store, picky, "b")) == (None, 9.0)

    def test_but_not_what_another_process_has_published_of_it_since(self):
        """The state that nobody needs goes all the same."""
        store, log = MemoryStore(), [record(0, card("a", 0, amount=1.0)), record(1, card("b", 1, amount=9.0))]
        picky = self.picky()
        begin(store, CARDS).process({0: log})
        paused = begin(store, picky)
        paused.process({0: log})
        gone = retire(paused, CARDS)
        switched = begin(store, CHANGED)
        switched.process({0: log})
        walk(switched)
        walk(paused, {picky.name: gone})
        assert (feast(store, CHANGED, "a"), row(store, CARDS, "a")) == (1.0, None)
