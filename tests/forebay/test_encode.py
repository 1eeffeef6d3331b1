"""Replayed events are in the format that their source declares, as unmodified readers of that format see them."""

from __future__ import annotations

import io
import json
import struct
from datetime import UTC, datetime

import fastavro
import pandas as pd
import pytest
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from forebay.history.encode import encoder
from forebay.history.replay import Span, replayed_events
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.types import Column, DataType
from forebay.pipelines.errors import SchemasUnavailable, SettingsError
from forebay.pipelines.history.load import History
from forebay.pipelines.steps.decode.decoder import JsonDecoder
from forebay.pipelines.steps.decode.framing import message_index, read_message_index
from forebay.pipelines.steps.validate import Validator
from tests.adapters.test_schema_registry import Server
from tests.steps.test_decode_avro import source_of
from tests.steps.test_decode_protobuf import FILE, FRAMED, SOURCE, Payment
from tests.support.wire import avro_record, field, proto_class, proto_source

AT = datetime(2013, 10, 1, 10, 40, 0, 123_000, tzinfo=UTC)
AT_MS = 1_380_624_000_123
NOON_S = 1_380_628_800
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
SCHEMA = avro_record(
    field("at", MICROS),
    field("card", "string"),
    field("amount", ["null", "double"]),
    field("n", "int"),
)


@pytest.fixture
def server():
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


def latest(server, schema, schema_id=258, **more):
    body = json.dumps({"subject": "payments-value", "version": 3, "id": schema_id, "schema": schema, **more}).encode()
    server.answers["/subjects/payments-value/versions/latest"] = 200, body


def replayed(tmp_path, source, registry="", **columns):
    """The payloads of a history of two events, of which the second has nulls where it may."""
    pd.DataFrame(columns).to_parquet(tmp_path / f"{source.topic}.parquet", index=False)
    plan = Plan(PLAN_FORMAT, "p", "0" * 16, "", (source,), (), (), (), ())
    return [each.value for each in replayed_events(plan, History(tmp_path), Span(), registry)]


PAYMENTS = {"at": [AT, AT], "card": ["ünï", ""], "amount": [1.5, None], "n": [2, -3]}


def read(schema, body):
    return fastavro.schemaless_reader(io.BytesIO(body), json.loads(schema))


def test_avro_is_read_by_its_schema(tmp_path):
    first, second = replayed(tmp_path, source_of(SCHEMA), **PAYMENTS)
    assert read(SCHEMA, first) == {"at": AT, "card": "ünï", "amount": 1.5, "n": 2}
    assert read(SCHEMA, second) == {"at": AT, "card": "", "amount": None, "n": -3}


def test_framed_avro_is_written_with_the_newest_schema_of_the_registry(tmp_path, server):
    """Which may be another one than the source's: with a field more, which has a default, and another unit of time."""
    newest = avro_record(
        field("card", "string"),
        field("at", {"type": "long", "logicalType": "timestamp-millis"}),
        field("n", "long"),
        field("channel", "string", default="shop"),
    )
    latest(server, newest)
    first, _ = replayed(tmp_path, source_of(SCHEMA, "confluent"), f"http://{server.address}", **PAYMENTS)
    assert struct.unpack(">bI", first[:5]) == (0, 258)
    assert read(newest, first[5:]) == {"card": "ünï", "at": AT, "n": 2, "channel": "shop"}


def test_a_history_that_lacks_what_the_newest_schema_needs_is_refused(tmp_path, server):
    latest(server, avro_record(field("at", MICROS), field("channel", "string")))
    with pytest.raises(SettingsError, match=r"'payments'.*Avro schema: .*correct it"):
        replayed(tmp_path, source_of(SCHEMA, "confluent"), f"http://{server.address}", **PAYMENTS)


def test_framed_avro_without_a_registry_or_a_subject_is_refused(server):
    source = source_of(SCHEMA, "confluent")
    with pytest.raises(SettingsError, match="--schema-registry"):
        encoder(source, "")
    body = json.dumps({"error_code": 40401, "message": "Subject 'payments-value' not found."}).encode()
    server.answers["/subjects/payments-value/versions/latest"] = 404, body
    with pytest.raises(SettingsError, match="'payments-value' is unknown to"):
        encoder(source, f"http://{server.address}")
    latest(server, "message Payment {}", schemaType="PROTOBUF")
    with pytest.raises(SettingsError, match="of type PROTOBUF"):
        encoder(source, f"http://{server.address}")


def test_a_registered_schema_that_is_none_is_refused(server):
    latest(server, avro_record(field("at", "shop.Unknown")))
    with pytest.raises(SettingsError, match="newest schema in the registry is unusable"):
        encoder(source_of(SCHEMA, "confluent"), f"http://{server.address}")


def test_a_registry_that_is_down_can_be_asked_again():
    with pytest.raises(SchemasUnavailable):
        encoder(source_of(SCHEMA, "confluent"), "http://127.0.0.1:1")


MESSAGES = {
    **PAYMENTS,
    "total": pd.array([2**60, None], dtype="Int64"),
    "rate": [0.5, 0.25],
    "ok": [True, None],
    "seen": [AT, None],
}


def test_protobuf_is_read_by_the_class_that_protoc_generated(tmp_path):
    first, second = (Payment.FromString(each) for each in replayed(tmp_path, SOURCE, **MESSAGES))
    assert (first.at.ToMilliseconds(), first.seen.ToMilliseconds()) == (AT_MS, AT_MS)
    assert (first.card, first.amount, first.n, first.total, first.rate, first.ok) == ("ünï", 1.5, 2, 2**60, 0.5, True)
    assert (second.card, second.n, second.rate) == ("", -3, 0.25)
    assert not any(second.HasField(name) for name in ("amount", "total", "ok", "seen"))


def test_framed_protobuf_is_read_by_confluents_deserializer(tmp_path):
    """Of the second message of its file, and of one inside of it."""
    context = SerializationContext("payments", MessageField.VALUE)
    read_payment = ProtobufDeserializer(Payment, {"use.deprecated.format": False})
    for payload in replayed(tmp_path, FRAMED, **MESSAGES):
        assert read_payment(payload, context).at.ToMilliseconds() == AT_MS
    line = proto_source(FILE, "shop.Payment.Line", (Column("price", DataType.FLOAT64, required=True),), "confluent")
    payload = encoder(line, "")({"price": 2.5})
    read_line = ProtobufDeserializer(proto_class(FILE, "shop.Payment.Line"), {"use.deprecated.format": False})
    assert read_line(payload, context).price == 2.5


@pytest.mark.parametrize("path", [(0,), (1,), (0, 0), (1, 63), (64, 8_191, 8_192)])
def test_a_message_index_is_read_as_it_was_written(path):
    assert read_message_index(message_index(path) + b"rest", "topic") == (path, b"rest")


@pytest.mark.parametrize("dtype", [DataType.INT64, DataType.UNIX_TIMESTAMP])
def test_json_times_of_another_unit_are_read_as_they_were(tmp_path, dtype):
    """Which the decoder judges: an event that was in seconds happens at the same time again."""
    columns = (Column("at", dtype, required=True), Column("card", DataType.STRING))
    source = Source("payments", "payments", "", "json", columns, "at", time_unit="s")
    payloads = replayed(tmp_path, source, at=[NOON_S, NOON_S + 1], card=["a", "b"])
    batch, errors = Validator(source)(JsonDecoder(source)(payloads).events)
    assert (batch.event_ms.tolist(), errors) == ([NOON_S * 1_000, NOON_S * 1_000 + 1_000], {})
