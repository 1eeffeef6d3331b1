"""Views whose values are written where Feast reads not at all: `publish: never`."""

import msgspec
import pytest

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.store.entity_key import feature_field, timestamp_field
from tests.feature_processor.partition import CARDS, row
from tests.feature_processor.test_expiry import expire
from tests.feature_processor.test_publish_every import EVERY, NAMES, Processor, held
from tests.feature_processor.test_sweep import CARD_KEY, CHANGED, feast, walk
from tests.support.build import HOUR, SECOND

NEVER = msgspec.structs.replace(CARDS, publish_every_ms=None)
SHARED = (timestamp_field(CARDS.name), *(feature_field(CARDS.name, each.name) for each in CARDS.features))


def read(store, name):
    """All that Feast reads of a card."""
    return set(store.read([(CARD_KEY([name]), SHARED)])[0])


def test_only_the_state_is_written():
    store = MemoryStore()
    processor = Processor(store, NEVER)
    processor.pay(processor.pay(0, "a"), "a")
    processor.look()
    walk(processor.topic)
    assert read(store, "a") == {None}
    assert row(store, NEVER, "a")[2][0] == 2.0
    assert processor.topic.publications.published(NEVER)


@pytest.mark.parametrize("before", [CARDS, EVERY], ids=["each", "every"])
def test_what_was_published_before_is_withdrawn_by_one_walk_and_the_state_stays(before):
    store = MemoryStore()
    former = Processor(store, before)
    former.pay(former.pay(0, *NAMES), *NAMES)
    walk(former.topic)
    processor = Processor(store, NEVER)
    assert processor.topic.publications.incomplete(NEVER, 0)
    processor.look()
    walk(processor.topic)
    assert not processor.topic.publications.incomplete(NEVER, 0)
    for name in NAMES:
        assert read(store, name) == {None}
        assert row(store, NEVER, name)[2][0] == 2.0
    assert held(store) == set()
    assert not Processor(store, NEVER).topic.publications.incomplete(NEVER, 0)


@pytest.mark.parametrize("after", [CARDS, EVERY], ids=["each", "every"])
def test_a_tag_that_is_taken_back_publishes_every_row_and_withdraws_them_should_it_return(after):
    store = MemoryStore()
    never = Processor(store, NEVER)
    offset = never.pay(0, *NAMES)
    walk(never.topic)
    again = Processor(store, after)
    assert again.topic.publications.incomplete(after, 0)
    offset = again.pay(offset, "a")
    assert Processor(store, NEVER).topic.publications.incomplete(NEVER, 0)
    walk(again.topic)
    again.look(10.0)
    assert feast(store, after, "a") == 2.0
    assert {feast(store, after, name) for name in NAMES[1:]} == {1.0}
    assert not Processor(store, after).topic.publications.incomplete(after, 0)
    last = Processor(store, NEVER)
    walk(last.topic)
    assert read(store, "a") == {None}


def test_a_changed_definition_that_is_never_published_withdraws_the_values_of_the_one_before():
    store = MemoryStore()
    former = Processor(store, CARDS)
    former.pay(0, "a")
    changed = msgspec.structs.replace(CHANGED, publish_every_ms=None)
    processor = Processor(store, changed)
    processor.pay(0, "a")
    assert processor.topic.publications.published(changed)
    walk(processor.topic)
    assert feast(store, changed, "a") is None
    assert row(store, changed, "a") is not None


def test_its_rows_expire_all_the_same():
    store = MemoryStore()
    processor = Processor(store, NEVER)
    processor.pay(0, "a")
    processor.pay(int(9 * HOUR / SECOND), "b")
    expire(processor.topic)
    assert row(store, NEVER, "a") is None
    assert row(store, NEVER, "b") is not None
