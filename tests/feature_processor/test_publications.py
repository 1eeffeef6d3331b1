"""One definition of a view is published at a time: by which process, when, and against which others."""

from itertools import pairwise

import msgspec

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.kafka.topics import Feed
from forebay.pipelines.contract.store.keys import progress_key
from forebay.pipelines.contract.store.publication import DEFINITION, decode_publication, publication_key
from tests.feature_processor.partition import (
    CARDS,
    PROJECT,
    card,
    topic_batches,
)
from tests.feature_processor.test_sweep import CHANGED, feast, payments, walk
from tests.support.build import SOURCE, record

TWO = Incarnation("payments", "id-1", 2)
LOGS = [payments(10, entity)[1] for entity in "ab"]
"""By partition: an entity's records are all in one."""


def begin(store, *views, generation=0, partitions=(0, 1), publishes=True):
    """A processor of a topic with two partitions, as after an assignment."""
    feed = Feed(SOURCE.topic, SOURCE, False, views, ())
    made = topic_batches(feed, store, incarnation=TWO, publishes=publishes, generation=lambda: generation)
    made.assign(dict.fromkeys(partitions, 0))
    made.begin()
    return made


def published(store):
    found = decode_publication(store.read_hash(publication_key(PROJECT, CARDS.name)))
    return found and (found.fingerprint, found.generation)


def test_a_changed_definition_is_published_once_it_is_level_on_all_partitions():
    """Not partition by partition: until then Feast reads one definition everywhere."""
    store = MemoryStore()
    old = begin(store, CARDS, generation=1)
    for partition in (0, 1):
        old.process({partition: LOGS[partition]})
    one, other = (begin(store, CHANGED, generation=2, partitions=(at,)) for at in (0, 1))
    one.process({0: LOGS[0]})
    assert published(store) == (CARDS.fingerprint, 1)
    other.process({1: LOGS[1]})
    assert published(store) == (CHANGED.fingerprint, 2)
    one.publications.take_over()
    assert one.publications.published(CHANGED)


def test_two_processors_with_different_plans_do_not_publish_in_turns():
    """The older plan's never comes back, wherever it stands."""
    store = MemoryStore()
    old = begin(store, CARDS, generation=1)
    for partition in (0, 1):
        old.process({partition: LOGS[partition][:5]})
    new, seen = begin(store, CHANGED, generation=2), [published(store)[0]]
    for at in range(10):
        for each in (old, new):
            for partition in (0, 1):
                each.process({partition: LOGS[partition][at : at + 1]})
            each.publications.look_again()
            each.publications.take_over()
            seen.append(published(store)[0])
    flips = [pair for pair in pairwise(seen) if pair[0] != pair[1]]
    assert flips == [(CARDS.fingerprint, CHANGED.fingerprint)]
    assert not old.publications.published(CARDS)


def test_the_older_plans_process_leaves_what_feast_reads_alone():
    store = MemoryStore()
    old, new = begin(store, CARDS, generation=1), begin(store, CHANGED, generation=2)
    for partition in (0, 1):
        new.process({partition: LOGS[partition]})
    before = feast(store, CHANGED, "a")
    old.process({0: LOGS[0]})
    walk(old)
    assert feast(store, CHANGED, "a") == before == 9.0


def test_a_process_whose_plan_is_older_than_the_published_one_says_so_once(capsys):
    store = MemoryStore()
    begin(store, CHANGED, generation=2).process({0: LOGS[0]})
    old = begin(store, CARDS, generation=1)
    for at in range(10):
        old.process({0: LOGS[0][at : at + 1]})
    (line,) = [each for each in capsys.readouterr().out.splitlines() if "a newer plan's definition is" in each]
    assert all(word in line for word in (CARDS.name, CARDS.fingerprint, CHANGED.fingerprint, "forebay plan"))


def test_a_plan_that_is_made_anew_with_the_former_definitions_is_the_newer_one():
    store = MemoryStore()
    generations = [1]
    feed = Feed(SOURCE.topic, SOURCE, False, (CARDS,), ())
    made = topic_batches(feed, store, incarnation=TWO, generation=lambda: generations[-1])
    made.assign({0: 0, 1: 0})
    made.begin()
    new = begin(store, CHANGED, generation=2)
    for each in (made, new):
        for partition in (0, 1):
            each.process({partition: LOGS[partition]})
    made.publications.look_again()
    assert published(store) == (CHANGED.fingerprint, 2)
    generations.append(3)
    made.publications.take_over()
    assert published(store) == (CARDS.fingerprint, 3)


def test_the_same_definition_of_a_newer_plan_keeps_what_is_published_and_moves_its_generation():
    store = MemoryStore()
    begin(store, CARDS, generation=1).process({0: LOGS[0]})
    begin(store, CARDS, generation=5)
    assert published(store) == (CARDS.fingerprint, 5)
    begin(store, CARDS, generation=3)
    assert published(store) == (CARDS.fingerprint, 5)


def test_of_two_processes_that_publish_at_the_same_moment_one_wins_and_the_other_looks_again():
    """Compare-and-set: what the slower one had read is no longer there."""

    class Racing(MemoryStore):
        before_replacing = staticmethod(lambda: None)

        def replace_in_hash(self, key, field, expected, value):
            then, self.before_replacing = self.before_replacing, lambda: None
            then()
            return super().replace_in_hash(key, field, expected, value)

    newest = msgspec.structs.replace(CHANGED, fingerprint="55" * 8)
    store = Racing()
    begin(store, CARDS, generation=1).process({0: LOGS[0]})
    slower = begin(store, CHANGED, generation=2)
    store.before_replacing = lambda: begin(store, newest, generation=3).process({0: LOGS[0]})
    slower.process({0: LOGS[0]})
    assert published(store) == (newest.fingerprint, 3)
    assert not slower.publications.published(CHANGED)


def test_a_partition_that_another_process_still_computes_by_the_old_plan_holds_the_flip():
    store = MemoryStore()
    old = begin(store, CARDS, generation=1, partitions=(1,))
    begin(store, CARDS, generation=1, partitions=(0,)).process({0: LOGS[0]})
    old.process({1: LOGS[1]})
    new = begin(store, CHANGED, generation=2, partitions=(0,))
    new.process({0: LOGS[0]})
    assert published(store) == (CARDS.fingerprint, 1)
    begin(store, CHANGED, generation=2, partitions=(1,), publishes=False).process({1: LOGS[1]})
    new.publications.take_over()
    assert published(store) == (CHANGED.fingerprint, 2)


def test_a_store_of_the_release_before_is_published_anew_row_by_row():
    """It named what was published in a field per partition, which is read by nobody any more."""
    store, log = MemoryStore(), [record(0, card("a", 0, amount=5.0)), record(1, card("b", 1, amount=7.0))]
    begin(store, CARDS, publishes=False).process({0: log})
    legacy = msgspec.msgpack.encode({"fingerprint": "77" * 8, "complete": True, "unpublished": 0})
    for partition in (0, 1):
        store.write_hash(progress_key(PROJECT, SOURCE.topic, partition), {b"published:card_activity": legacy})
    upgraded = begin(store, CARDS, generation=1)
    assert upgraded.publications.incomplete(CARDS, 0)
    walk(upgraded)
    assert [feast(store, CARDS, name) for name in "ab"] == [5.0, 7.0]
    assert DEFINITION in store.read_hash(publication_key(PROJECT, CARDS.name))
