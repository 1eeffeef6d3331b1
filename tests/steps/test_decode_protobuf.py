"""Protobuf payloads to events, without any generated class: presence, times, evolution, and garbage."""

import math
import subprocess
import sys

import msgspec
import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.pipelines.contract.plan.types import Column, DataType
from forebay.pipelines.errors import DecodeError
from forebay.pipelines.steps.decode.protobuf import ProtobufDecoder, message_class, message_path
from forebay.pipelines.steps.validate import Validator
from tests.support.wire import TIMESTAMP, framed, proto_class, proto_field, proto_file, proto_source

COLUMNS = (
    Column("at", DataType.UNIX_TIMESTAMP, required=True),
    Column("card", DataType.STRING, required=True),
    Column("amount", DataType.FLOAT64),
    Column("n", DataType.INT32, required=True),
    Column("total", DataType.INT64),
    Column("rate", DataType.FLOAT32, required=True),
    Column("ok", DataType.BOOL),
    Column("seen", DataType.UNIX_TIMESTAMP),
)


def payment_file():
    """Every kind of field: plain, optional, a time, and those that are ignored."""
    file = proto_file()
    address = file.message_type.add(name="Address")
    proto_field(address, 1, "city", "string")
    payment = file.message_type.add(name="Payment")
    proto_field(payment, 1, "at", TIMESTAMP)
    proto_field(payment, 2, "card", "string")
    proto_field(payment, 3, "amount", "double", optional=True)
    proto_field(payment, 4, "n", "sint32")
    proto_field(payment, 5, "total", "int64", optional=True)
    proto_field(payment, 6, "rate", "float")
    proto_field(payment, 7, "ok", "bool", optional=True)
    proto_field(payment, 8, "seen", TIMESTAMP)
    proto_field(payment, 9, "to", "shop.Address")
    proto_field(payment, 10, "tags", "string", repeated=True)
    inner = payment.nested_type.add(name="Line")
    proto_field(inner, 1, "price", "double")
    return file


FILE = payment_file()
SOURCE = proto_source(FILE, "shop.Payment", COLUMNS)
FRAMED = proto_source(FILE, "shop.Payment", COLUMNS, "confluent")
Payment = proto_class(FILE, "shop.Payment")
DECODE = ProtobufDecoder(SOURCE)


def encoded(message_type=Payment, at_ms=1_380_628_800_123, **values):
    message = message_type(**values)
    if at_ms is not None:
        message.at.seconds, ms = divmod(at_ms, 1_000)
        message.at.nanos = ms * 1_000_000
    return message.SerializeToString()


def as_dict(event):
    return {name: getattr(event, name) for name in event.__struct_fields__}


finite = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.fixed_dictionaries(
    {
        "at": st.integers(-62_135_596_800_000, 253_402_300_799_999),
        "card": st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        "amount": st.none() | finite,
        "n": st.integers(-(2**31), 2**31 - 1),
        "total": st.none() | st.integers(-(2**63), 2**63 - 1),
        "rate": st.floats(width=32, allow_nan=False, allow_infinity=False),
        "ok": st.none() | st.booleans(),
        "seen": st.none(),
    }
)


class TestRoundTrip:
    @settings(max_examples=200, deadline=None)
    @given(events=st.lists(VALUES, max_size=5))
    def test_what_protobuf_writes_is_decoded(self, events):
        payloads = []
        for values in events:
            written = {name: value for name, value in values.items() if name != "at" and value is not None}
            payloads.append(encoded(at_ms=values["at"], **written))
        decoded = DECODE(payloads)
        assert not decoded.errors
        assert [as_dict(event) for event in decoded.events] == events

    def test_unset_optional_fields_and_times_are_null_and_plain_fields_their_default(self):
        assert as_dict(DECODE.decode_one(b"")) == {
            "at": None,
            "card": "",
            "amount": None,
            "n": 0,
            "total": None,
            "rate": 0.0,
            "ok": None,
            "seen": None,
        }

    def test_an_optional_field_that_was_set_to_its_default_is_not_null(self):
        event = DECODE.decode_one(encoded(amount=0.0, total=0, ok=False))
        assert (event.amount, event.total, event.ok) == (0.0, 0, False)

    def test_times_are_milliseconds_rounded_down(self):
        message = Payment()
        message.seen.seconds, message.seen.nanos = -1, 999_999_999
        assert DECODE.decode_one(message.SerializeToString()).seen == -1

    def test_nested_and_repeated_fields_are_ignored(self):
        message = Payment(tags=["a", "b"], card="a")
        message.to.city = "Ulm"
        assert DECODE.decode_one(message.SerializeToString()).card == "a"

    def test_a_batch_of_nothing_is_nothing(self):
        assert DECODE([]).events == []

    def test_required_fields_and_defaults_of_proto2(self):
        file = proto_file(syntax="proto2")
        message = file.message_type.add(name="Old")
        proto_field(message, 1, "at", "int64").label = FieldDescriptorProto.LABEL_REQUIRED
        proto_field(message, 2, "x", "int32").default_value = "7"
        columns = (Column("at", DataType.INT64, required=True), Column("x", DataType.INT32))
        decode = ProtobufDecoder(proto_source(file, "shop.Old", columns))
        event = decode.decode_one(b"")
        assert (event.at, event.x) == (None, None)
        assert decode.decode_one(b"\x08\x05").at == 5

    def test_two_plans_may_have_different_messages_of_one_name(self):
        file = proto_file()
        proto_field(file.message_type.add(name="Payment"), 1, "at", "int64")
        other = ProtobufDecoder(proto_source(file, "shop.Payment", (Column("at", DataType.INT64),)))
        assert other.decode_one(b"\x08\x05").at == 5
        assert DECODE.decode_one(encoded(card="a")).card == "a"


BAD = {
    "no value": None,
    "text": b"hello",
    "JSON": b'{"card": "a"}',
    "cut short": encoded(card="abc")[:-1],
    "endless": b"\xff" * 100,
    "groups in groups": b"\x0b" * 10_000,
    "a text longer than memory": b"\x12\xff\xff\xff\xff\x0f",
    "invalid UTF-8": b"\x12\x02\xff\xfe",
    "garbage in an ignored message": b"\x4a\x02\xff\xff",
    "infinite": encoded(amount=math.inf),
    "infinitely small": encoded(rate=-math.inf),
    "a time beyond the calendar": b"\x0a\x0a\x08" + b"\xff" * 8 + b"\x7f",
    "negative nanoseconds": b"\x0a\x0b\x10" + b"\xff" * 9 + b"\x01",
}


class TestBadPayloads:
    @pytest.mark.parametrize("payload", BAD.values(), ids=BAD.keys())
    def test_it_is_a_decode_error_that_names_the_topic(self, payload):
        with pytest.raises(DecodeError, match=r"^payments: "):
            DECODE.decode_one(payload)

    @pytest.mark.parametrize("payload", BAD.values(), ids=BAD.keys())
    def test_its_neighbours_are_decoded(self, payload):
        good = encoded(card="a")
        events, errors = DECODE([good, payload, good])
        assert list(errors) == [1]
        assert [event and event.card for event in events] == ["a", None, "a"]

    @pytest.mark.parametrize(
        ("name", "place"),
        [("infinite", r"\$\.amount"), ("a time beyond the calendar", r"\$\.at"), ("text", "shop.Payment")],
    )
    def test_the_error_names_the_field_or_the_message(self, name, place):
        with pytest.raises(DecodeError, match=place):
            DECODE.decode_one(BAD[name])

    @settings(max_examples=300, deadline=None)
    @given(payloads=st.lists(st.none() | st.binary(max_size=40), max_size=6), framing=st.booleans())
    def test_a_batch_of_garbage_decodes_as_its_payloads_do_one_by_one(self, payloads, framing):
        decode = ProtobufDecoder(FRAMED) if framing else DECODE
        events, errors = decode(payloads)
        for at, payload in enumerate(payloads):
            if at in errors:
                with pytest.raises(DecodeError):
                    decode.decode_one(payload)
            else:
                assert events[at] == decode.decode_one(payload)

    def test_nan_is_null(self):
        assert DECODE.decode_one(encoded(amount=math.nan)).amount is None


def changed(change):
    """A writer whose Payment differs."""
    file = payment_file()
    change(file.message_type[1])
    return proto_class(file, "shop.Payment")


def field_of(message, name):
    return next(field for field in message.field if field.name == name)


class TestEvolution:
    """The rules of docs/formats.md, in its order."""

    def test_a_field_that_only_the_writer_has_is_skipped(self):
        newer = changed(lambda message: proto_field(message, 11, "new", "string"))
        assert DECODE.decode_one(encoded(newer, card="a", new="x")).card == "a"

    def test_a_field_that_the_writer_removed_is_null_if_optional_else_its_default(self):
        def remove(message):
            message.field.remove(field_of(message, "n"))
            message.field.remove(field_of(message, "ok"))
            message.oneof_decl.pop()

        older = changed(remove)
        event = DECODE.decode_one(encoded(older, card="a"))
        assert (event.ok, event.n) == (None, 0)

    def test_a_renamed_field_keeps_its_number_and_so_its_meaning(self):
        def rename(message):
            field_of(message, "card").name = "card_id"

        assert DECODE.decode_one(encoded(changed(rename), card_id="a")).card == "a"

    @pytest.mark.parametrize(("wrote", "value"), [("int32", 3), ("uint32", 2**32 - 1), ("bool", True)])
    def test_whole_numbers_are_promoted(self, wrote, value):
        def narrow(message):
            field_of(message, "total").type = getattr(FieldDescriptorProto, f"TYPE_{wrote.upper()}")

        assert DECODE.decode_one(encoded(changed(narrow), total=value)).total == int(value)

    def test_a_type_of_another_wire_type_reads_as_if_it_were_not_set(self):
        def to_text(message):
            field_of(message, "total").type = FieldDescriptorProto.TYPE_STRING

        assert DECODE.decode_one(encoded(changed(to_text), total="3")).total is None

    def test_the_messages_own_name_is_not_on_the_wire(self):
        file = payment_file()
        file.message_type[1].name = "Purchase"
        assert DECODE.decode_one(encoded(proto_class(file, "shop.Purchase"), card="a")).card == "a"

    def test_a_plain_field_made_optional_is_the_same_on_the_wire(self):
        def optional(message):
            message.oneof_decl.add(name="_n")
            field = field_of(message, "n")
            field.oneof_index, field.proto3_optional = len(message.oneof_decl) - 1, True

        assert DECODE.decode_one(encoded(changed(optional), n=5)).n == 5


class TestFraming:
    def test_the_message_stands_behind_the_id_and_its_index(self):
        decode = ProtobufDecoder(FRAMED)
        event = decode.decode_one(framed(99, b"\x02\x02") + encoded(card="a"))
        assert event.card == "a"

    def test_any_schema_id_will_do(self):
        """The message type is known: no registry is asked."""
        decode = ProtobufDecoder(FRAMED)
        assert not decode([framed(number, b"\x02\x02" + encoded(card="a")) for number in (0, 1, 2**32 - 1)]).errors

    @pytest.mark.parametrize("index", [b"\x00", b"\x02\x00", b"\x02\x04", b"\x04\x02\x00"])
    def test_another_message_of_the_file_is_refused(self, index):
        with pytest.raises(DecodeError, match=r"not \[1\], which is shop.Payment"):
            ProtobufDecoder(FRAMED).decode_one(framed(1, index) + encoded(card="a"))

    def test_a_nested_message_has_a_path(self):
        line = proto_source(FILE, "shop.Payment.Line", (Column("price", DataType.FLOAT64),), "confluent")
        assert message_path(message_class(line).DESCRIPTOR) == (1, 0)
        price = proto_class(FILE, "shop.Payment.Line")(price=2.5).SerializeToString()
        assert ProtobufDecoder(line).decode_one(framed(1, b"\x04\x02\x00") + price).price == 2.5


def test_decoding_imports_neither_feast_nor_a_generated_module():
    script = (
        "import sys, forebay.pipelines.steps.decode.decoder; "
        "print([name for name in sys.modules if name.startswith('feast') or name.endswith('_pb2')])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "['google.protobuf.descriptor_pb2']"


def test_a_whole_number_is_a_time_in_the_units_of_the_tag_and_a_timestamp_has_its_own():
    source = msgspec.structs.replace(SOURCE, timestamp_field="total", time_unit="us")
    batch, errors = Validator(source)(ProtobufDecoder(source)([encoded(total=1_380_628_800_000_001)]).events)
    assert not errors
    assert batch.event_ms.tolist() == [1_380_628_800_000]
    assert batch.columns()["at"] == [1_380_628_800_123]
