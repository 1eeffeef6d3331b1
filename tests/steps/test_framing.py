"""Framed payloads are taken apart as Confluent's serializers put them together."""

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.pipelines.errors import DecodeError, SettingsError
from forebay.pipelines.steps.decode.avro import AvroDecoder
from forebay.pipelines.steps.decode.decoder import JsonDecoder, decoder_for, needs_schemas
from forebay.pipelines.steps.decode.framing import Framed, Indexed, read_message_index, unframe
from forebay.pipelines.steps.decode.protobuf import ProtobufDecoder
from tests.steps.test_decode_avro import GOOD, SCHEMA
from tests.steps.test_decode_avro import source_of as avro_source
from tests.steps.test_decode_protobuf import FRAMED, Payment
from tests.support.build import SOURCE
from tests.support.wire import framed


def varint(number):
    """A zigzag varint, by its definition."""
    left = number * 2 if number >= 0 else -number * 2 - 1
    out = []
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*out, left])


class TestUnframe:
    @given(schema_id=st.integers(0, 2**32 - 1), body=st.binary())
    def test_the_id_and_the_body_come_back(self, schema_id, body):
        assert unframe(framed(schema_id, body), "t") == Framed(schema_id, body)

    @pytest.mark.parametrize("payload", [None, b"", b"\x00", b"\x00\x00\x00\x01", b"\x01\x00\x00\x00\x01x", b'{"a":1}'])
    def test_what_is_not_framed_says_so_and_what_to_do(self, payload):
        with pytest.raises(DecodeError, match=r"^t: (not framed: .* tag 'framing'|the record has no value)"):
            unframe(payload, "t")


class TestMessageIndex:
    @given(path=st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5), message=st.binary(max_size=5))
    def test_a_path_comes_back(self, path, message):
        body = b"".join(map(varint, [len(path), *path]))
        assert read_message_index(body + message, "t") == Indexed(tuple(path), message)

    def test_a_zero_is_the_first_message(self):
        assert read_message_index(b"\x00abc", "t") == Indexed((0,), b"abc")

    @pytest.mark.parametrize("body", [b"", b"\x02", b"\x04\x02", b"\xff" * 9, b"\x01", varint(65) + b"\x00" * 65])
    def test_garbage_is_a_decode_error(self, body):
        with pytest.raises(DecodeError, match=r"^t: its message index .*damaged"):
            read_message_index(body, "t")


@pytest.fixture(scope="module")
def confluent():
    """Confluent's client with the registry that it has for tests, and its serializers."""
    with warnings.catch_warnings(record=True):  # of authlib, about httpx
        from confluent_kafka.schema_registry import SchemaRegistryClient
        from confluent_kafka.schema_registry.avro import AvroSerializer
        from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
        from confluent_kafka.serialization import MessageField, SerializationContext

    class Confluent:
        client = SchemaRegistryClient.new_client({"url": "mock://"})
        context = SerializationContext("payments", MessageField.VALUE)
        avro = staticmethod(AvroSerializer)
        protobuf = staticmethod(ProtobufSerializer)

        def schema(self, schema_id):
            return self.client.get_schema(schema_id).schema_str

    return Confluent()


class TestConfluentsSerializers:
    def test_their_avro_is_read(self, confluent):
        payload = confluent.avro(confluent.client, SCHEMA)(GOOD, confluent.context)
        event = AvroDecoder(avro_source(framing="confluent"), confluent).decode_one(payload)
        assert {name: getattr(event, name) for name in GOOD} == GOOD

    def test_their_protobuf_is_read(self, confluent):
        serializer = confluent.protobuf(Payment, confluent.client, {"use.deprecated.format": False})
        payload = serializer(Payment(card="a", amount=2.5), confluent.context)
        event = ProtobufDecoder(FRAMED).decode_one(payload)
        assert (event.card, event.amount) == ("a", 2.5)


class TestDecoderFor:
    def test_the_format_decides(self):
        made = [decoder_for(SOURCE), decoder_for(avro_source()), decoder_for(FRAMED)]
        assert [type(each) for each in made] == [JsonDecoder, AvroDecoder, ProtobufDecoder]

    def test_only_framed_avro_needs_a_registry(self):
        framed_avro = avro_source(framing="confluent")
        assert needs_schemas(framed_avro)
        assert not any(map(needs_schemas, (SOURCE, avro_source(), FRAMED)))
        with pytest.raises(SettingsError, match=r"'payments'.* FOREBAY_SCHEMA_REGISTRY"):
            decoder_for(framed_avro)
