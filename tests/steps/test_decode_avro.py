"""Avro payloads to events: what was written is what is decoded, schemas may evolve, garbage costs only itself."""

import io
import json
import math
from datetime import UTC, datetime, timedelta

import fastavro
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.pipelines.compiler.avro import avro_schema
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.errors import DecodeError, SchemasUnavailable, SettingsError
from forebay.pipelines.steps.decode.avro import AvroDecoder
from forebay.pipelines.steps.validate import Validator
from tests.support.wire import Schemas, avro, avro_record, field, framed

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
SCHEMA = avro_record(
    field("at", MILLIS),
    field("card", ["null", "string"]),
    field("amount", ["double", "null"]),
    field("n", "int"),
    field("total", "long"),
    field("rate", "float"),
    field("ok", "boolean"),
)
GOOD = {"at": 1_380_628_800_000, "card": "a", "amount": 1.5, "n": 2, "total": 3, "rate": 0.5, "ok": True}


def source_of(schema=SCHEMA, framing="none", time="at"):
    events = avro_schema(schema, framing == "confluent", "source")
    return Source("payments", "payments", "", "avro", events.columns, time, (), None, framing, events.schema)


def decoder(schema=SCHEMA):
    return AvroDecoder(source_of(schema))


def resolved(writer, reader, **values):
    """An event written with one schema, in a topic whose source has another."""
    decode = AvroDecoder(source_of(reader, "confluent"), Schemas(id7=writer))
    return decode.decode_one(framed(7, avro(writer, **values)))


def as_dict(event):
    return {name: getattr(event, name) for name in event.__struct_fields__}


finite = st.floats(allow_nan=False, allow_infinity=False)
long = st.integers(-(2**63), 2**63 - 1)
RECORDS = st.fixed_dictionaries(
    {
        "at": st.integers(0, 4_102_444_800_000),
        "card": st.none() | st.text(max_size=20),
        "amount": st.none() | finite,
        "n": st.integers(-(2**31), 2**31 - 1),
        "total": long,
        "rate": st.floats(width=32, allow_nan=False, allow_infinity=False),
        "ok": st.booleans(),
    }
)


class TestRoundTrip:
    @settings(max_examples=200, deadline=None)
    @given(records=st.lists(RECORDS, max_size=5))
    def test_what_fastavro_writes_is_decoded(self, records):
        decoded = decoder()([avro(SCHEMA, **record) for record in records])
        assert not decoded.errors
        assert [as_dict(event) for event in decoded.events] == records

    @settings(max_examples=200, deadline=None)
    @given(record=RECORDS)
    def test_the_same_through_another_writers_schema(self, record):
        """Fields in another order and one more of them; nothing is read as written."""
        fields = json.loads(SCHEMA)["fields"]
        writer = avro_record(field("extra", {"type": "array", "items": "string"}), *reversed(fields), namespace="other")
        assert as_dict(resolved(writer, SCHEMA, extra=["x"], **record)) == record

    @given(micros=st.integers(-(10**15), 4 * 10**15))
    def test_times_are_milliseconds_whatever_their_unit(self, micros):
        """What fastavro makes of a datetime, rounded down."""
        moment = EPOCH + timedelta(microseconds=micros)
        schema = avro_record(field("at", MILLIS), field("us", MICROS), field("maybe", ["null", MICROS]))
        event = decoder(schema).decode_one(avro(schema, at=moment, us=moment, maybe=None))
        assert event.us == micros // 1_000
        assert abs(event.at - micros / 1_000) <= 1  # fastavro rounds
        assert event.maybe is None

    def test_a_batch_of_nothing_is_nothing(self):
        assert decoder()([]).events == []


BAD = {
    "no value": None,
    "empty": b"",
    "text": b"hello",
    "JSON": b'{"at": 1}',
    "cut short": avro(SCHEMA, **GOOD)[:-1],
    "trailing": avro(SCHEMA, **GOOD) + b"\x00",
    "two events": avro(SCHEMA, **GOOD) * 2,
    "a text longer than memory": b"\x00\x02" + b"\xfe" * 8 + b"\x7f",
    "a text of negative length": b"\x00\x02\x01",
    "an endless number": b"\xff" * 100,
    "invalid UTF-8": avro(SCHEMA, **GOOD).replace(b"\x02a", b"\x02\xff"),
    "more than an int": avro(SCHEMA.replace('"int"', '"long"'), **GOOD | {"n": 2**31}),
    "infinite": avro(SCHEMA, **GOOD | {"amount": math.inf}),
    "infinitely small": avro(SCHEMA, **GOOD | {"rate": -math.inf}),
}


class TestBadPayloads:
    @pytest.mark.parametrize("payload", BAD.values(), ids=BAD.keys())
    def test_it_is_a_decode_error_that_names_the_topic(self, payload):
        with pytest.raises(DecodeError, match=r"^payments: "):
            decoder().decode_one(payload)

    @pytest.mark.parametrize("payload", BAD.values(), ids=BAD.keys())
    def test_its_neighbours_are_decoded(self, payload):
        good = avro(SCHEMA, **GOOD)
        events, errors = decoder()([good, payload, good])
        assert list(errors) == [1]
        assert [event and event.card for event in events] == ["a", None, "a"]

    @pytest.mark.parametrize(("name", "place"), [("more than an int", r"\$\.n"), ("infinite", r"\$\.amount")])
    def test_the_error_of_a_value_names_its_field(self, name, place):
        with pytest.raises(DecodeError, match=place):
            decoder().decode_one(BAD[name])

    @settings(max_examples=300, deadline=None)
    @given(payloads=st.lists(st.none() | st.binary(max_size=40), max_size=6))
    def test_a_batch_of_garbage_decodes_as_its_payloads_do_one_by_one(self, payloads):
        decode = decoder()
        events, errors = decode(payloads)
        for at, payload in enumerate(payloads):
            if at in errors:
                with pytest.raises(DecodeError):
                    decode.decode_one(payload)
            else:
                assert events[at] == decode.decode_one(payload)

    def test_nan_is_null(self):
        assert decoder().decode_one(avro(SCHEMA, **GOOD | {"amount": math.nan})).amount is None

    def test_nan_is_invalid_where_a_value_is_required(self):
        decoded = decoder()([avro(SCHEMA, **GOOD | {"rate": math.nan})])
        _, invalid = Validator(source_of())(decoded.events)
        assert "$.rate" in str(invalid[0])


def reader_with(*fields):
    return avro_record(field("at", MILLIS), *fields)


class TestEvolution:
    """The rules of docs/formats.md, in its order: W is the writer's schema, R the source's."""

    def test_a_field_that_only_the_writer_has_is_skipped(self):
        nested = {"type": "record", "name": "Address", "fields": [field("city", "string")]}
        writer = reader_with(field("x", "int"), field("to", nested), field("tags", {"type": "map", "values": "int"}))
        event = resolved(writer, reader_with(field("x", "int")), at=1, x=5, to={"city": "Ulm"}, tags={"a": 1})
        assert as_dict(event) == {"at": 1, "x": 5}

    @pytest.mark.parametrize("kind", [["null", "double"], ["double", "null"]])
    def test_a_nullable_field_that_the_writer_lacks_is_null(self, kind):
        assert resolved(reader_with(), reader_with(field("x", kind)), at=1).x is None

    @pytest.mark.parametrize(("kind", "default"), [("double", 0.5), (["double", "null"], 2.5), ("string", "none")])
    def test_a_field_that_the_writer_lacks_takes_its_default(self, kind, default):
        assert resolved(reader_with(), reader_with(field("x", kind, default=default)), at=1).x == default

    def test_a_field_that_the_writer_lacks_and_that_has_no_default_is_an_error(self):
        with pytest.raises(DecodeError, match="No default value for field x"):
            resolved(reader_with(), reader_with(field("x", "double")), at=1)

    def test_a_renamed_field_is_found_by_its_alias(self):
        reader = reader_with(field("x", "long", aliases=["old"]))
        assert resolved(reader_with(field("old", "int")), reader, at=1, old=7).x == 7

    def test_a_renamed_nullable_field_is_found_by_its_alias(self):
        reader = reader_with(field("x", ["null", "long"], aliases=["old"]))
        assert resolved(reader_with(field("old", ["null", "long"])), reader, at=1, old=7).x == 7

    def test_a_renamed_field_without_alias_is_another_field(self):
        reader = reader_with(field("x", ["null", "int"]))
        assert resolved(reader_with(field("old", "int")), reader, at=1, old=7).x is None

    @pytest.mark.parametrize(
        ("wrote", "value", "reads", "expected"),
        [
            ("int", 3, "long", 3),
            ("int", 3, "double", 3.0),
            ("long", 3, "float", 3.0),
            ("float", 0.5, "double", 0.5),
            ("bytes", b"abc", "string", "abc"),
            ("int", 3, ["null", "long"], 3),
            (["null", "int"], 3, "int", 3),
            (["null", "int"], None, ["null", "double"], None),
        ],
    )
    def test_types_are_promoted(self, wrote, value, reads, expected):
        event = resolved(reader_with(field("x", wrote)), reader_with(field("x", reads)), at=1, x=value)
        assert (event.x, type(event.x)) == (expected, type(expected))

    @pytest.mark.parametrize(
        ("wrote", "value", "reads"),
        [("long", 3, "int"), ("double", 0.5, "float"), ("string", "3", "long"), (["null", "int"], None, "int")],
    )
    def test_types_are_not_narrowed(self, wrote, value, reads):
        with pytest.raises(DecodeError, match=r"(?i)schema mismatch"):
            resolved(reader_with(field("x", wrote)), reader_with(field("x", reads)), at=1, x=value)

    @pytest.mark.parametrize(
        ("wrote", "reads", "event_ms"),
        [(MICROS, MILLIS, 5_000), (MILLIS, MICROS, 5_000_000), ("long", MICROS, 5_000), ("long", MILLIS, 5_000_000)],
    )
    def test_a_time_has_the_unit_that_its_writer_says_else_the_sources(self, wrote, reads, event_ms):
        writer, reader = avro_record(field("at", wrote)), avro_record(field("at", reads))
        assert resolved(writer, reader, at=5_000_000).at == event_ms

    def test_a_number_declared_as_time_only_by_its_writer_is_a_time_where_it_is_the_events(self):
        assert resolved(avro_record(field("at", MICROS)), avro_record(field("at", "long")), at=5_000_000).at == 5_000

    def test_any_other_time_unit_is_an_error(self):
        nanos = avro_record(field("at", {"type": "long", "logicalType": "timestamp-nanos"}))
        with pytest.raises(DecodeError, match="schema 7 can't be used: its field 'at' is timestamp-nanos"):
            resolved(nanos, SCHEMA, at=1)

    def test_logical_types_of_other_fields_do_not_matter(self):
        writer = reader_with(field("x", {"type": "string", "logicalType": "uuid"}))
        decode = AvroDecoder(source_of(reader_with(field("x", "string")), "confluent"), Schemas(id7=writer))
        plain = reader_with(field("x", "string"))
        assert decode.decode_one(framed(7, avro(plain, at=1, x="no uuid"))).x == "no uuid"

    def test_another_record_is_another_event(self):
        writer = avro_record(field("at", MILLIS), name="Refund")
        with pytest.raises(DecodeError, match=r"(?i)schema mismatch"):
            resolved(writer, reader_with(), at=1)

    def test_a_renamed_record_is_known_by_its_alias(self):
        reader = avro_record(field("at", MILLIS), name="Purchase", aliases=["Payment"])
        assert resolved(reader_with(), reader, at=1).at == 1

    def test_the_namespace_does_not_matter(self):
        assert resolved(avro_record(field("at", MILLIS), namespace="shop"), reader_with(), at=1).at == 1


class TestSchemaIds:
    def test_each_payload_is_read_with_its_own_writers_schema(self):
        writers = {1: reader_with(), 2: reader_with(field("x", "int")), 3: reader_with(field("x", "double"))}
        decode = AvroDecoder(
            source_of(reader_with(field("x", ["null", "double"])), "confluent"),
            Schemas(**{f"id{number}": text for number, text in writers.items()}),
        )
        payloads = [framed(1, avro(writers[1], at=1)), framed(2, avro(writers[2], at=2, x=2))]
        events, errors = decode([*payloads, framed(3, avro(writers[3], at=3, x=0.5)), *payloads])
        assert not errors
        assert [event.x for event in events] == [None, 2.0, 0.5, None, 2.0]

    def test_a_schema_is_asked_for_once(self):
        schemas = Schemas(id7=SCHEMA)
        decode = AvroDecoder(source_of(framing="confluent"), schemas)
        decode([framed(7, avro(SCHEMA, **GOOD))] * 3)
        decode.decode_one(framed(7, avro(SCHEMA, **GOOD)))
        assert schemas.asked == [7]

    def test_an_unknown_id_costs_only_its_record(self):
        good = framed(7, avro(SCHEMA, **GOOD))
        decode = AvroDecoder(source_of(framing="confluent"), Schemas(id7=SCHEMA))
        _, errors = decode([good, framed(8, avro(SCHEMA, **GOOD)), good])
        assert {at: str(error) for at, error in errors.items()} == {1: "payments: schema 8 is unknown"}

    def test_a_registry_that_does_not_answer_refuses_nothing(self):
        """Neither the batch nor a single record has an error: it is tried again."""
        schemas = Schemas(id7=SCHEMA)
        schemas.down = True
        decode = AvroDecoder(source_of(framing="confluent"), schemas)
        batch = [b"garbage", framed(7, avro(SCHEMA, **GOOD))]
        with pytest.raises(SchemasUnavailable):
            decode(batch)
        schemas.down = False
        assert list(decode(batch).errors) == [0]

    @pytest.mark.parametrize("text", ['"string"', "{}", "", "[" * 100_000, '{"type": "record", "fields": [1]}'])
    def test_a_schema_that_is_none_costs_only_its_records(self, text):
        decode = AvroDecoder(source_of(framing="confluent"), Schemas(id7=SCHEMA, id8=text))
        good = framed(7, avro(SCHEMA, **GOOD))
        _, errors = decode([good, framed(8, b""), framed(8, b"")])
        assert list(errors) == [1, 2]
        assert "schema 8 can't be used" in str(errors[2])

    def test_framed_events_need_a_registry_from_the_start(self):
        with pytest.raises(SettingsError, match="FOREBAY_SCHEMA_REGISTRY"):
            AvroDecoder(source_of(framing="confluent"))

    def test_confluents_schemas_with_java_properties_are_read(self):
        java = {"type": "string", "avro.java.string": "String"}
        writer = reader_with(field("x", ["null", java]), field("y", java))
        event = resolved(writer, reader_with(field("x", ["null", "string"]), field("y", "string")), at=1, x="a", y="b")
        assert (event.x, event.y) == ("a", "b")


def test_the_library_still_resolves_as_these_rules_say():
    """fastavro's own reader is the oracle for a schema that is read as written here."""
    writer = reader_with(field("x", ["null", "double"]), field("extra", "long"))
    reader = reader_with(field("x", ["null", "double"]), field("late", ["null", "string"], default=None))
    body = avro(writer, at=1, x=0.5, extra=9)
    expected = fastavro.schemaless_reader(io.BytesIO(body), json.loads(writer), json.loads(reader))
    event = resolved(writer, reader, at=1, x=0.5, extra=9)
    assert (event.x, event.late) == (expected["x"], expected["late"])


class TestUnits:
    """The unit of a time is the writer's where it says one, else the one that the source's schema or tag says."""

    NOON_S = 1_380_628_800

    @pytest.mark.parametrize(
        ("wrote", "declared", "unit", "number"),
        [
            ("long", "long", "s", NOON_S),
            ("long", "long", "us", NOON_S * 10**6),
            (MICROS, "long", "s", NOON_S * 10**6),
            (MILLIS, "long", "us", NOON_S * 10**3),
            (MICROS, "long", "ms", NOON_S * 10**6),
            ("long", MICROS, "ms", NOON_S * 10**6),
            (MILLIS, MICROS, "ms", NOON_S * 10**3),
        ],
    )
    def test_events_happen_when_their_writer_said(self, wrote, declared, unit, number):
        source = source_of(avro_record(field("at", declared), field("card", "string")), "confluent")
        source = msgspec.structs.replace(source, time_unit=unit)
        written = avro_record(field("at", wrote), field("card", "string"))
        decode = AvroDecoder(source, Schemas(id7=written))
        event = decode.decode_one(framed(7, avro(written, at=number, card="a")))
        assert Validator(source).check(event) == self.NOON_S * 1_000
