"""A topic of garbage stops the processor before anything of the batch is written."""

import pytest

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.kafka.topics import Feed
from forebay.pipelines.errors import StoreUnavailable, TooManyDeadLetters
from forebay.pipelines.steps.dead_letter_limit import Allowance
from tests.feature_processor.partition import (
    CARDS,
    card,
    progress,
    topic_batches,
)
from tests.support.build import HOUR, SOURCE, record


def limited(store, in_a_row):
    feed = Feed(SOURCE.topic, SOURCE, False, (CARDS,), ())
    shared = topic_batches(feed, store, dead_letters=Allowance(in_a_row))
    shared.assign({0: 0})
    shared.begin()
    return shared


def test_beyond_the_limit_neither_progress_nor_dead_letters_are_written():
    store = MemoryStore()
    shared = limited(store, 3)
    shared.process({0: [record(at, b"x") for at in range(3)]})
    with pytest.raises(TooManyDeadLetters, match=r"4 records in a row .* payments\[0\]@0 to payments\[0\]@3"):
        shared.process({0: [record(3, b"x"), record(4, card("a", 0))]})
    assert progress(store) == 2
    assert len(shared.parts.producer.sent + shared.parts.producer.queued) == 3
    again = limited(store, 0)
    again.process({0: [record(3, b"x"), record(4, card("a", 0))]})
    assert (progress(store), len(again.parts.producer.sent)) == (4, 1)


def test_a_batch_that_is_tried_again_is_counted_and_sent_once(monkeypatch):
    store = MemoryStore()
    shared = limited(store, 3)
    batch = {0: [record(0, b"x"), record(1, b"x")]}
    with monkeypatch.context() as patch:

        def away(*_):
            raise StoreUnavailable("no answer")

        patch.setattr(store, "write_hashes", away)
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                shared.process(batch)
    shared.process(batch)
    shared.process({0: [record(2, b"x")]})
    assert len(shared.parts.producer.sent) == 3


def test_late_events_are_no_dead_letters():
    shared = limited(MemoryStore(), 1)
    shared.process({0: [record(0, card("a", HOUR + 1)), *(record(at, card("a", 0)) for at in range(1, 6))]})
    assert len(shared.parts.producer.to("payments.late")) == 5
