"""What a partition finds in the store that is not its own: another incarnation, another definition, old rows."""

import pytest

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder, feature_field, timestamp_field
from forebay.pipelines.contract.store.keys import progress_key
from forebay.pipelines.contract.store.progress import NOTHING_YET
from forebay.pipelines.errors import ProgressMismatch
from tests.e2e.broker import until
from tests.feature_processor.partition import CARDS, PROJECT, WINDOWS, card, folded, row, start
from tests.oracle import Window
from tests.support.build import SECOND, make_view, record


class TestAnotherIncarnation:
    @pytest.mark.parametrize("now", [Incarnation("payments", "id-2", 4), Incarnation("payments", "id-1", 8)])
    def test_progress_of_another_incarnation_of_the_topic_is_refused_with_the_repair(self, now):
        """Re-created, or given more partitions: offsets do not compare."""
        store = MemoryStore()
        start(store, CARDS).process([record(0, card("a", 0))])
        with pytest.raises(ProgressMismatch, match=f"{now.topic_id} and {now.partitions} partitions.*rebuild"):
            start(store, CARDS, incarnation=now)

    @pytest.mark.parametrize(
        ("incarnation", "partition"), [(Incarnation("payments", "id-2", 4), 0), (Incarnation("payments", "id-1", 8), 5)]
    )
    def test_a_row_of_another_incarnation_is_never_taken_for_this_ones(self, incarnation, partition):
        """Its fence is higher than the new offsets: skipping these as contained would lose them in silence."""
        store = MemoryStore()
        start(store, CARDS).process([record(1_000, card("a", 0))])
        del store.hashes[progress_key(PROJECT, "payments", 0)]
        with pytest.raises(ProgressMismatch, match="rebuild"):
            start(store, CARDS, incarnation=incarnation, partition=partition).process([record(0, card("a", 5))])

    def test_a_row_of_another_partition_is_never_taken_for_this_ones(self):
        """Nor does it end anything: the record is keyed otherwise than the source says, and others are not."""
        store = MemoryStore()
        start(store, CARDS).process([record(1_000, card("a", 0))])
        other = start(store, CARDS, partition=1)
        other.process([record(0, card("a", 5)), record(1, card("b", 5))])
        assert row(store, CARDS, "a") == folded(CARDS, [(1_000, card("a", 0))])["a"]
        assert row(store, CARDS, "b") == folded(CARDS, [(1, card("b", 5))])["b"]
        assert [each[-1]["forebay-reason"] for each in other.topic.parts.producer.sent] == [b"wrong_key"]

    def test_a_changed_view_starts_afresh_over_its_old_rows(self):
        store = MemoryStore()
        start(store, CARDS).process([record(1_000, card("a", 0))])
        changed = make_view(WINDOWS, fingerprint="44" * 8)
        start(store, changed).process([record(0, card("a", 5))])
        assert row(store, changed, "a") == folded(changed, [(0, card("a", 5))])["a"]

    def test_what_feast_reads_expires_and_the_state_does_not(self):
        """A row of a pipeline that died is missing to the Feast SDK, and is still what the pipeline goes on from."""
        short = make_view([Window("sum", "amount", SECOND // 50, SECOND // 100)])
        store = MemoryStore()
        pipeline = start(store, short)
        pipeline.process([record(0, card("a", 0))])
        key = EntityKeyEncoder(short.join_keys, PROJECT)(["a"])
        feast = [timestamp_field(short.name), feature_field(short.name, "f0")]
        assert None not in store.read([(key, feast)])[0]
        until(lambda: store.read([(key, feast)]) == [[None, None]], 10.0, "expiry")
        assert row(store, short, "a") == folded(short, [(0, card("a", 0))])["a"]
        pipeline.process([record(1, card("a", 0))])
        assert None not in store.read([(key, feast)])[0]
        assert row(store, short, "a") == folded(short, [(0, card("a", 0)), (1, card("a", 0))])["a"]

    @pytest.mark.parametrize("retired", [False, True])
    def test_a_view_that_is_changed_back_goes_on_or_starts_afresh_where_its_state_was_given_up(self, retired):
        store, log = MemoryStore(), [record(at, card("ab"[at % 2], at)) for at in range(6)]
        changed = make_view(WINDOWS, fingerprint="44" * 8)
        start(store, CARDS).process(log[:3])
        other = start(store, changed)
        other.process(log[:4])
        if retired:
            assert other.ledger.others(changed).keys() == {CARDS.fingerprint}
            other.ledger.retire(changed, {CARDS.fingerprint})
        back = start(store, CARDS)
        assert back.ledger.offset == (NOTHING_YET if retired else 2)
        back.process(log)
        for name in "ab":
            events = [(at, card("ab"[at % 2], at)) for at in range(6) if "ab"[at % 2] == name]
            assert row(store, CARDS, name) == folded(CARDS, events)[name]
            assert row(store, changed, name) == folded(changed, [each for each in events if each[0] < 4])[name]

    def test_progress_of_another_view_stays_where_a_view_is_changed(self):
        store = MemoryStore()
        other = make_view(WINDOWS, name="card_activity@2")
        start(store, CARDS, other).process([record(0, card("a", 0))])
        start(store, make_view(WINDOWS, fingerprint="44" * 8))
        assert start(store, other).ledger.offset == 0
