"""Every event of a batch becomes one prediction or one dead letter, whatever a single one of them does."""

import json
import threading
import time

import msgspec
import pytest
from prometheus_client import REGISTRY

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.adapters.progress_reader import ProgressReader, ViewTopic
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.kafka.recipients import ONLY_FOR_HEADER, Recipients
from forebay.pipelines.contract.kafka.record import REPLAY_OF_HEADER
from forebay.pipelines.contract.plan.types import Column, DataType
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder, head_field
from forebay.pipelines.contract.store.keys import progress_field, progress_key
from forebay.pipelines.contract.store.progress import Progress, SourceProgress, encode_progress
from forebay.pipelines.errors import StoreRefused, StoreUnavailable
from forebay.serving.models.deployment import Deployment
from forebay.serving.models.model import load_model
from forebay.serving.observe.metrics import MODEL_INFO, show_deployment
from forebay.serving.scoring.scorer import RequestScorer
from forebay.serving.worker.barrier import Awaited, Barrier
from forebay.serving.worker.events import EventScorer
from tests.serving.endpoint import NOW_MS, PLAN, REFUSED_LIMIT, SERVICE, VIEW, FaultyStore, fill, write_model
from tests.support.build import SOURCE, WRITTEN_MS

REQUEST_FIELDS = [Column(each.name, each.dtype) for each in SERVICE.request]
SCORED = msgspec.structs.replace(SOURCE, columns=(*SOURCE.columns, *REQUEST_FIELDS))


class Message:
    """A record as the consumer hands it over."""

    def __init__(self, offset, event, partition=0, headers=None):
        self._offset, self._partition, self._headers = offset, partition, headers
        self._value = event if isinstance(event, bytes) else json.dumps({"event_ms": NOW_MS, **event}).encode()

    def topic(self):
        return SCORED.topic

    def partition(self):
        return self._partition

    def offset(self):
        return self._offset

    def key(self):
        return b"key"

    def value(self):
        return self._value

    def headers(self):
        return self._headers

    def timestamp(self):
        return 1, WRITTEN_MS


@pytest.fixture
def memory():
    store = MemoryStore()
    fill(store)
    return store


@pytest.fixture
def store(memory):
    return FaultyStore(memory)


@pytest.fixture
def scorer(store, tmp_path):
    return RequestScorer.of(PLAN, [load_model(write_model(tmp_path))], store)


@pytest.fixture
def barrier():
    return Barrier(SCORED, [], ProgressReader(PLAN.project, [], MemoryStore()), 0)


@pytest.fixture
def score(scorer, barrier):
    return EventScorer(scorer, SCORED, barrier, "predictions", include_features=True, topic_id="id-1")


def asked(card, limit=60.0):
    return {"card": card, "limit": limit}


def split(records):
    """(offsets predicted, offset -> reason of dead letters)."""
    predicted = [json.loads(each.value)["source"] for each in records if each.topic == "predictions"]
    letters = [dict(each.headers) for each in records if each.topic == "payments.dlq"]
    return predicted, {each["forebay-position"].decode(): each for each in letters}


def test_every_event_has_one_outcome_in_order(score):
    records = score([Message(0, asked("a")), Message(1, b"\xff"), Message(2, asked("b")), Message(3, asked(None))])
    predicted, letters = split(records)
    assert predicted == ["payments[0]@0", "payments[0]@2", "payments[0]@3"]
    assert list(letters) == ["payments[0]@1"]
    assert letters["payments[0]@1"]["forebay-stage"] == b"score"


def test_the_same_position_in_a_topic_made_anew_is_another_prediction(scorer, barrier):
    """Who keeps predictions by their ids would take the new one for the old one."""
    ids = []
    for topic_id in ("id-1", "id-2", "id-1"):
        score = EventScorer(scorer, SCORED, barrier, "predictions", include_features=True, topic_id=topic_id)
        (prediction,) = score([Message(0, asked("a"))])
        ids.append(json.loads(prediction.value)["id"])
    assert ids[0] == ids[2] != ids[1]


def test_an_event_in_another_unit_of_time_is_no_question_about_1970(score):
    """Seconds in a column of milliseconds: scored, it would be as of a January in which nothing happened."""
    predicted, letters = split(score([Message(0, asked("a") | {"event_ms": NOW_MS // 1_000}), Message(1, asked("a"))]))
    assert predicted == ["payments[0]@1"]
    assert b"give the source the tag 'time_unit': 's'" in letters["payments[0]@0"]["forebay-error"]


def test_a_function_that_fails_on_one_event_costs_that_event_alone(score):
    records = score([Message(at, asked("a", REFUSED_LIMIT if at == 3 else 60.0)) for at in range(8)])
    predicted, letters = split(records)
    assert len(predicted) == 7
    assert letters["payments[0]@3"]["forebay-reason"] == b"refused"


def test_a_batch_of_which_every_event_fails_is_hardly_run_more_often_than_it_has_events(score, scorer, monkeypatch):
    runs, whole = [], scorer.score
    monkeypatch.setattr(scorer, "score", lambda asked, **how: runs.append(asked) or whole(asked, **how))
    predicted, letters = split(score([Message(at, asked("a", REFUSED_LIMIT)) for at in range(500)]))
    assert (len(predicted), len(letters)) == (0, 500)
    assert len(runs) <= 510


def test_a_damaged_row_costs_its_entity_alone_and_is_named(score, memory):
    key = EntityKeyEncoder(VIEW.join_keys, PLAN.project)(["a"])
    memory.hashes[key][head_field(VIEW)] = memory.hashes[key][head_field(VIEW)][:-3]
    predicted, letters = split(score([Message(0, asked("a")), Message(1, asked("b"))]))
    assert predicted == ["payments[0]@1"]
    assert b"unexpected" in letters["payments[0]@0"]["forebay-error"]


def test_a_store_that_is_away_is_no_dead_letter(score, store):
    """The batch is tried again."""
    store.failure = StoreUnavailable("no answer")
    with pytest.raises(StoreUnavailable):
        score([Message(0, asked("a"))])


def test_a_store_that_refuses_is_no_dead_letter_either(score, store):
    """It ends the worker: no event of any batch could be scored."""
    store.failure = StoreRefused("no permission")
    with pytest.raises(StoreRefused):
        score([Message(0, asked("a")), Message(1, asked("b"))])


class TestBarrier:
    def barrier(self, store, wait_ms):
        view = ViewTopic(VIEW, SCORED.topic, Incarnation(SCORED.topic, "x", 4))
        return Barrier(SCORED, [view], ProgressReader(PLAN.project, [view], store), wait_ms)

    def contains(self, store, partition, offset, topic_id="x"):
        progress = Progress(Incarnation(SCORED.topic, topic_id, 4), offset, {partition: SourceProgress(offset, NOW_MS)})
        store.write_hash(
            progress_key(PLAN.project, SCORED.topic, partition), {progress_field(VIEW): encode_progress(progress)}
        )

    def test_events_that_are_contained_are_told_from_those_that_are_not(self):
        store = MemoryStore()
        self.contains(store, 0, 5)
        barrier = self.barrier(store, 20)
        assert barrier.wait([Awaited(0, offset, {}) for offset in (4, 5, 6)]) == [True, True, False]

    def test_progress_of_a_former_incarnation_of_the_topic_contains_nothing(self):
        """Its offsets are of other records."""
        store = MemoryStore()
        self.contains(store, 0, 500, topic_id="before")
        barrier = self.barrier(store, 0)
        assert barrier.wait([Awaited(0, 5, {})]) == [False]

    def test_all_partitions_of_a_batch_are_asked_for_at_once_and_share_one_deadline(self):
        """A processor that is away delays a batch once, not once per partition."""
        store, asked = MemoryStore(), []
        self.contains(store, 2, 0)
        barrier, read = self.barrier(store, 0), store.read
        store.read = lambda requests: asked.append(len(requests)) or read(requests)
        awaited = [Awaited(partition, 0, {}) for partition in range(4)]
        assert barrier.wait(awaited) == [False, False, True, False]
        assert asked[0] == 4

    def test_only_what_is_missing_is_asked_for_again(self):
        store, asked = MemoryStore(), []
        self.contains(store, 0, 7)
        barrier, read = self.barrier(store, 10_000), store.read

        def read_and_go_on(requests):
            asked.append(len(requests))
            found = read(requests)
            self.contains(store, 1, 7)
            return found

        store.read = read_and_go_on
        assert barrier.wait([Awaited(0, 7, {}), Awaited(1, 7, {})]) == [True, True]
        assert asked[:2] == [2, 1]

    def test_what_came_while_the_batch_before_was_scored_is_not_waited_for(self):
        """A worker that is behind asks for nothing while it scores: all of it happens on another thread."""
        store, asked_by, goes_on = MemoryStore(), [], threading.Event()
        self.contains(store, 0, 7)
        barrier, read = self.barrier(store, 10_000), store.read

        def read_when_told(requests):
            asked_by.append(threading.current_thread())
            if len(asked_by) == 2:
                goes_on.wait(10)
            assert len(asked_by) < 4
            return read(requests)

        store.read = read_when_told
        assert barrier.wait([Awaited(0, 7, {})]) == [True]
        self.contains(store, 0, 500)
        goes_on.set()
        assert barrier.wait([Awaited(0, 400, {})]) == [True]
        assert threading.current_thread() not in asked_by

    def test_what_was_seen_long_ago_is_not_believed(self, monkeypatch):
        """The store may have fallen back to older data meanwhile."""
        monkeypatch.setattr("forebay.serving.worker.reached_offsets.KNOWN_FOR_S", 0.05)
        store = MemoryStore()
        self.contains(store, 0, 500)
        barrier = self.barrier(store, 0)
        assert barrier.wait([Awaited(0, 7, {})]) == [True]
        time.sleep(0.1)
        self.contains(store, 0, 5)
        assert barrier.wait([Awaited(0, 7, {})]) == [False]

    def test_a_store_that_is_away_is_told_of_to_who_waits(self):
        store = MemoryStore()
        barrier = self.barrier(store, 10_000)

        def away(_requests):
            raise StoreUnavailable("no answer")

        store.read = away
        with pytest.raises(StoreUnavailable):
            barrier.wait([Awaited(0, 7, {})])

    def test_an_event_of_no_partition_waits_for_nothing(self):
        barrier = self.barrier(MemoryStore(), 10_000)
        assert barrier.wait([]) == []


class TestTimes:
    def test_a_request_field_that_is_a_time_may_be_text(self, store, tmp_path):
        """It reaches functions and model in milliseconds."""
        times = Column("limit", DataType.UNIX_TIMESTAMP)
        source = msgspec.structs.replace(SCORED, columns=(*SOURCE.columns, times))
        service = msgspec.structs.replace(SERVICE, request=(times,))
        plan = msgspec.structs.replace(PLAN, services=(service,))
        scorer = RequestScorer.of(plan, [load_model(write_model(tmp_path))], store)
        barrier = Barrier(source, [], ProgressReader(PLAN.project, [], MemoryStore()), 0)
        score = EventScorer(scorer, source, barrier, "predictions", include_features=False, topic_id="id-1")
        (record,) = score([Message(0, {"card": "a", "limit": "2013-10-01T12:00:00Z"})])
        assert json.loads(record.value)["request"] == {"limit": 1_380_628_800_000}


class TestReplayed:
    """Records that were replayed for those that had refused them."""

    def only_for(self, **whom):
        return [(ONLY_FOR_HEADER, Recipients(**{"project": PLAN.project, **whom}).encode())]

    def test_what_is_for_this_model_is_scored_and_what_is_for_others_is_passed_over(self, score):
        headers = [self.only_for(model="risk"), self.only_for(model="other"), self.only_for(views=("card_activity",))]
        headers += [self.only_for(project="else", model="risk"), None]
        messages = [Message(at, asked("a"), headers=each) for at, each in enumerate(headers)]
        predicted, letters = split(score(messages))
        assert (predicted, letters) == (["payments[0]@0", "payments[0]@4"], {})
        assert score(messages[1:2]) == []

    def test_a_header_that_names_nobody_is_a_dead_letter(self, score):
        predicted, letters = split(score([Message(0, asked("a"), headers=[(ONLY_FOR_HEADER, b"{}")])]))
        assert (predicted, letters["payments[0]@0"]["forebay-reason"]) == ([], b"decode")

    def test_a_dead_letter_keeps_headers_and_timestamp_and_names_the_model(self, score):
        _, letters = split(score([Message(0, b"\xff", headers=[("trace", b"1"), ("nothing", None)])]))
        headers = letters["payments[0]@0"]
        assert (headers["trace"], headers["nothing"]) == (b"1", None)
        assert headers["forebay-timestamp-ms"] == str(WRITTEN_MS).encode()
        assert headers["forebay-refused-by"] == Recipients(PLAN.project, model="risk").encode()

    def test_it_waits_for_the_views_where_the_record_was_first(self, score, barrier, monkeypatch):
        """Views pass over the replayed one: they have counted the first."""
        waited = []
        monkeypatch.setattr(
            barrier, "wait", lambda events: waited.extend(each[:2] for each in events) or [True] * len(events)
        )
        of = (REPLAY_OF_HEADER, b"payments[0]@3")
        score([Message(9, asked("a"), headers=[*self.only_for(model="risk"), of]), Message(10, asked("a"))])
        assert waited == [(0, 3), (0, 10)]


class TestHeaders:
    TRACE = ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")

    def headers(self, score, *own):
        (record,) = score([Message(0, asked("a"), headers=list(own))])
        return record.headers

    def test_a_prediction_carries_those_of_its_event_in_order_and_then_its_own(self, score):
        own = (self.TRACE, ("ce_id", b"1"), ("tag", b"x"), ("tag", b"y"), ("nothing", None))
        assert self.headers(score, *own) == [
            *own,
            ("content-type", b"application/json"),
            ("forebay-position", b"payments[0]@0"),
            ("forebay-model", b"risk/1"),
        ]

    def test_a_name_of_forebays_and_the_type_of_the_events_payload_are_left_out(self, score):
        found = self.headers(score, ("Content-Type", b"avro/binary"), ("forebay-model", b"mine"), ("forebay-x", b""))
        assert found == self.headers(score)

    def test_a_header_that_is_too_large_is_left_out_and_counted(self, score):
        """Names and values count; what comes after it may still fit."""
        fits = ("fits", b"x" * (16_384 - 4 - len(self.TRACE[0]) - len(self.TRACE[1])))
        found = self.headers(score, ("large", b"x" * 16_384), fits, self.TRACE, ("more", b""))
        assert found[:2] == [fits, self.TRACE]
        assert found[-1] == ("forebay-headers-left-out", b"2")


class TestMetrics:
    def value(self, name, **labels):
        return REGISTRY.get_sample_value(name, labels) or 0.0

    def test_predictions_are_counted_by_model_and_version_without_the_refused_ones(self, score):
        of = {"model": "risk", "version": "1"}
        before = self.value("forebay_predictions_total", **of)
        score([Message(at, asked("a", REFUSED_LIMIT if at == 1 else 60.0)) for at in range(4)])
        assert self.value("forebay_predictions_total", **of) == before + 3

    def test_barriers_that_were_not_met_are_counted(self, score, barrier, monkeypatch):
        before = self.value("forebay_barrier_not_met_total", topic=SCORED.topic)
        monkeypatch.setattr(barrier, "wait", lambda events: [False, True, False])
        score([Message(at, asked("a")) for at in range(3)])
        assert self.value("forebay_barrier_not_met_total", topic=SCORED.topic) == before + 2

    def test_the_model_in_use_is_the_only_one_shown(self, tmp_path):
        model = load_model(write_model(tmp_path))
        deployment = Deployment(tmp_path, "risk", "risk/1")
        show_deployment(deployment, [model])
        model.version = "2"
        show_deployment(deployment, [model])
        name = MODEL_INFO.declared().name
        shown = [each.labels for family in REGISTRY.collect() if family.name == name for each in family.samples]
        assert shown == [{"model": "risk", "version": "2", "hash": model.hash, "role": "live"}]
