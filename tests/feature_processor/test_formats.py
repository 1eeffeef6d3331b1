"""The walk of a batch, by format: the same events make the same rows, and a registry that is down delays them."""

import json
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.compiler.avro import avro_schema
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.kafka.topics import Feed, dead_letter_topic
from forebay.pipelines.contract.plan.services import FeatureService
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.types import Column, DataType
from forebay.pipelines.errors import StoreUnavailable
from forebay.serving.worker.events import EventScorer
from tests.feature_processor.partition import OnePartition, topic_batches
from tests.oracle import Window
from tests.support.build import HOUR, MINUTE, START_MS, make_view, record
from tests.support.wire import (
    TIMESTAMP,
    Schemas,
    avro,
    avro_record,
    field,
    framed,
    proto_class,
    proto_field,
    proto_file,
    proto_source,
)

TIME = {"type": "long", "logicalType": "timestamp-millis"}
AVRO = avro_record(
    field("at", TIME), field("card", ["null", "string"]), field("amount", ["null", "double"]), field("n", "long")
)
COLUMNS = (
    Column("at", DataType.UNIX_TIMESTAMP, required=True),
    Column("card", DataType.STRING),
    Column("amount", DataType.FLOAT64),
    Column("n", DataType.INT64, required=True),
)
WINDOWS = [Window(each, "amount", HOUR, 5 * MINUTE) for each in ("sum", "min", "last")] + [
    Window("sum", "n", HOUR, 5 * MINUTE)
]


def payment_file():
    file = proto_file()
    payment = file.message_type.add(name="Payment")
    proto_field(payment, 1, "at", TIMESTAMP)
    proto_field(payment, 2, "card", "string", optional=True)
    proto_field(payment, 3, "amount", "double", optional=True)
    proto_field(payment, 4, "n", "int64")
    return file


Payment = proto_class(payment_file(), "shop.Payment")


def as_avro(event):
    return avro(AVRO, **event)


def as_protobuf(event):
    message = Payment(card=event["card"], amount=event["amount"], n=event["n"])
    message.at.seconds, ms = divmod(event["at"], 1_000)
    message.at.nanos = ms * 1_000_000
    return message.SerializeToString()


def source_of(kind, framing="none"):
    if kind == "protobuf":
        return proto_source(payment_file(), "shop.Payment", COLUMNS, framing)
    schema = avro_schema(AVRO, framing == "confluent", "source").schema if kind == "avro" else b""
    return Source("payments", "payments", "", kind, COLUMNS, "at", ("card",), None, framing, schema)


FORMATS = {
    "json": (source_of("json"), lambda event: json.dumps(event).encode()),
    "avro": (source_of("avro"), as_avro),
    "framed avro": (source_of("avro", "confluent"), lambda event: framed(7, as_avro(event))),
    "protobuf": (source_of("protobuf"), as_protobuf),
    "framed protobuf": (source_of("protobuf", "confluent"), lambda event: framed(9, b"\x00" + as_protobuf(event))),
}


class Producer:
    """Keeps what is produced."""

    def __init__(self):
        self.sent = []

    def produce(self, topic, value, key=None, headers=(), partition=-1, timestamp_ms=-1):
        self.sent.append((topic, value, dict(headers)))

    def flush(self):
        pass


class World:
    """One partition of a topic in some format."""

    def __init__(self, kind):
        source, self.encode = FORMATS[kind]
        self.store, self.producer, self.schemas = MemoryStore(), Producer(), Schemas(id7=AVRO)
        feed = Feed("payments", source, False, (make_view(WINDOWS),), ())
        incarnation = Incarnation("payments", "x", 1)
        shared = topic_batches(feed, self.store, self.producer, incarnation, schemas=self.schemas, project="p")
        shared.assign({0: 0})
        shared.begin()
        self.partition = OnePartition(shared, 0)

    def process(self, events):
        self.partition.process([record(at, self.encode(event)) for at, event in enumerate(events)])


EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "at": st.integers(START_MS, START_MS + 2 * HOUR),
            "card": st.none() | st.sampled_from(["a", "b", "ß", ""]),
            "amount": st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32),
            "n": st.integers(-(10**6), 10**6),
        }
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(events=EVENTS)
def test_the_same_events_make_the_same_rows_in_every_format(events):
    stores = []
    for kind in FORMATS:
        world = World(kind)
        world.process(events)
        stores.append(world.store.hashes)
    assert all(each == stores[0] for each in stores)


EVENT = {"at": START_MS, "card": "a", "amount": 1.0, "n": 1}


class TestRegistryDown:
    @pytest.fixture
    def world(self):
        made = World("framed avro")
        made.schemas.down = True
        return made

    def test_nothing_is_written_and_nothing_refused(self, world):
        before = dict(world.store.hashes)
        with pytest.raises(StoreUnavailable, match="schema registry"):
            world.process([EVENT])
        assert (world.producer.sent, world.store.hashes) == ([], before)

    def test_the_same_batch_is_processed_when_it_is_back(self, world):
        with pytest.raises(StoreUnavailable):
            world.process([EVENT])
        world.schemas.down = False
        world.process([EVENT])
        always = World("framed avro")
        always.process([EVENT])
        assert world.store.hashes == always.store.hashes

    def test_a_scored_event_waits_too(self):
        """The scorer's loop tries a batch again on just this error."""
        source, encode = FORMATS["framed avro"]
        schemas = Schemas(id7=AVRO)
        schemas.down = True
        service = FeatureService("s", ())
        deployment = SimpleNamespace(name="m", generation=0)
        scorer = SimpleNamespace(service=service, project="p", models={}, deployment=deployment)
        score = EventScorer(scorer, source, None, "predictions", False, schemas, topic_id="id-1")
        with pytest.raises(StoreUnavailable):
            score([SimpleNamespace(value=lambda: encode(EVENT), headers=lambda: None)])

    def test_an_id_that_it_does_not_know_is_a_dead_letter_with_that_reason(self, world):
        world.schemas.down = False
        unknown = framed(8, as_avro(EVENT))
        world.partition.process([record(0, unknown), record(1, world.encode(EVENT))])
        ((topic, value, headers),) = world.producer.sent
        assert (topic, value) == (dead_letter_topic("payments"), unknown)
        assert any(b"schema 8 is unknown" in content for content in headers.values())
        assert world.partition.ledger.offset == 1
