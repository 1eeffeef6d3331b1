"""Payloads to events: a bad payload costs only itself, and no payload ever becomes part of another."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.types import Column, DataType
from forebay.pipelines.errors import DecodeError
from forebay.pipelines.steps.decode.decoder import JsonDecoder
from forebay.pipelines.steps.event_time import to_event_ms
from forebay.pipelines.steps.validate import Validator
from tests.support.build import SOURCE

GOOD = b'{"event_ms": 1, "card": "a"}'


@pytest.fixture
def decode():
    return JsonDecoder(SOURCE)


def typed(dtype):
    """Decodes the field `x` of this type."""
    source = Source("s", "t", "", "json", (Column("event_ms", DataType.INT64), Column("x", dtype)), "event_ms")
    return JsonDecoder(source)


def x_of(dtype, text):
    return typed(dtype).decode_one(b'{"event_ms": 1, "x": %s}' % text.encode()).x


BAD = {
    "no value": None,
    "empty": b"",
    "spaces": b"  ",
    "garbage": b"\x00\xff\xfe\x80",
    "text": b"hello",
    "truncated": b'{"event_ms": 1',
    "trailing": b'{"event_ms": 1} x',
    "two objects": b'{"event_ms": 1}{"event_ms": 2}',
    "two lines": b'{"event_ms": 1}\n{"event_ms": 2}',
    "array": b'[{"event_ms": 1}]',
    "number": b"1",
    "null": b"null",
    "string": b'"{}"',
    "byte order mark": b'\xef\xbb\xbf{"event_ms": 1}',
    "UTF-16": '{"event_ms": 1}'.encode("utf-16"),
    "invalid UTF-8": b'{"event_ms": 1, "card": "\xff"}',
    "lone surrogate": b'{"event_ms": 1, "card": "\\ud800"}',
    "line break in a string": b'{"event_ms": 1, "card": "a\nb"}',
    "NaN": b'{"event_ms": 1, "amount": NaN}',
    "Infinity": b'{"event_ms": 1, "amount": -Infinity}',
    "too large a number": b'{"event_ms": 1, "amount": 1e400}',
    "too many digits": b'{"event_ms": 1, "amount": ' + b"9" * 400 + b"}",
    "too large a whole number": b'{"event_ms": 1, "items": 9223372036854775808}',
    "text for a number": b'{"event_ms": 1, "amount": "1"}',
    "number for text": b'{"event_ms": 1, "card": 1}',
    "fraction for a whole number": b'{"event_ms": 1.5}',
    "boolean for a number": b'{"event_ms": true}',
    "number for a boolean": b'{"event_ms": 1, "declined": 1}',
    "object for a number": b'{"event_ms": {}}',
    "Python": b"{'event_ms': 1}",
    "trailing comma": b'{"event_ms": 1,}',
    "nested too deeply": b'{"unknown": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "nested and cut": b'{"unknown": ' + b'{"a":' * 100_000,
    "starts and ends like an object": b'{"unknown": {}',
}


class TestBadPayloads:
    @pytest.mark.parametrize("payload", BAD.values(), ids=BAD.keys())
    def test_it_is_a_decode_error_that_names_the_topic(self, decode, payload):
        with pytest.raises(DecodeError, match=r"^payments: "):
            decode.decode_one(payload)

    @pytest.mark.parametrize("payload", BAD.values(), ids=BAD.keys())
    def test_its_neighbours_are_decoded(self, decode, payload):
        events, errors = decode([GOOD, payload, GOOD])
        assert list(errors) == [1]
        assert [event and event.card for event in events] == ["a", None, "a"]

    def test_the_error_names_the_field(self, decode):
        with pytest.raises(DecodeError, match=r"\$\.amount"):
            decode.decode_one(BAD["text for a number"])

    def test_a_batch_of_nothing_but_garbage_has_no_events(self, decode):
        assert decode(list(BAD.values())).events == [None] * len(BAD)


COMPLETING = [
    [b'{"event_ms": 1', b'"card": "a"}'],
    [b'{"event_ms": 1,', b'"card": "a"}'],
    [b'{"unknown": ', b'{"x": 1}}{"event_ms": 5}'],
    [b'{"event_ms": 1}{"event_ms": 2}', b'{"unknown": ', b'{"x": 1}}'],
    [b'{"event_ms": 1}{"event_ms": 2}', b" "],
    [b'{"event_ms": 1}{"event_ms": 2}', b""],
    [b'{"event_ms": 1}\n{"event_ms": 2}', b" "],
    [b'{"unknown": "}', b'{"}{"event_ms": 1}'],
    [b'{"unknown": [{}', b"{}]}"],
    [b"{", b"}"],
]


class TestJoining:
    @pytest.mark.parametrize("payloads", COMPLETING)
    def test_payloads_never_complete_each_other(self, decode, payloads):
        """Batches are decoded joined, for speed; each payload alone says what it is."""
        _, errors = decode(payloads)
        assert list(errors) == list(range(len(payloads)))

    def test_line_breaks_inside_an_object_are_no_events(self, decode):
        events, errors = decode([b'{"event_ms":\n1,\r\n"card": "a"}', GOOD])
        assert not errors
        assert [event.event_ms for event in events] == [1, 1]

    @settings(max_examples=200, deadline=None)
    @given(
        payloads=st.lists(
            st.lists(
                st.sampled_from(['{"x":', '{"event_ms":5}', "{", "}", "[", "]", '"', "\n", " ", ",", "1"]), max_size=6
            )
            .map("".join)
            .map(str.encode),
            max_size=5,
        )
    )
    def test_a_batch_decodes_as_its_payloads_do_one_by_one(self, payloads):
        """Scraps of JSON, put together at random."""
        decode = JsonDecoder(SOURCE)
        events, errors = decode(payloads)
        for at, payload in enumerate(payloads):
            if at in errors:
                with pytest.raises(DecodeError):
                    decode.decode_one(payload)
            else:
                assert events[at] == decode.decode_one(payload)


class TestGoodPayloads:
    def test_fields_in_any_order_spaces_and_unknown_fields_are_fine(self, decode):
        event = decode.decode_one(b' { "new": [1, {"a": null}], "card" : "a", "event_ms" : 1 } \n')
        assert (event.event_ms, event.card, event.amount) == (1, "a", None)

    def test_missing_fields_and_nulls_are_null(self, decode):
        """What is required is for validation to say."""
        assert decode.decode_one(b"{}") == decode.decode_one(b'{"event_ms": null, "card": null}')

    def test_of_a_field_given_twice_the_last_counts(self, decode):
        assert decode.decode_one(b'{"event_ms": 1, "event_ms": 2}').event_ms == 2

    def test_a_whole_number_is_a_float_where_one_is_declared(self, decode):
        assert decode.decode_one(b'{"amount": 3}').amount == 3.0

    @pytest.mark.parametrize("text", ["", "\u0000", "\U0001f6eb", "ß", "a" * 10_000_000])
    def test_any_text_comes_back(self, decode, text):
        """Ten megabytes included."""
        assert decode([json.dumps({"card": text}).encode(), GOOD]).events[0].card == text

    @pytest.mark.parametrize(
        ("dtype", "lowest", "highest"),
        [(DataType.INT32, -(2**31), 2**31 - 1), (DataType.INT64, -(2**63), 2**63 - 1)],
    )
    def test_whole_numbers_span_their_type_and_no_more(self, dtype, lowest, highest):
        assert (x_of(dtype, str(lowest)), x_of(dtype, str(highest))) == (lowest, highest)
        for beyond in (lowest - 1, highest + 1):
            with pytest.raises(DecodeError, match=r"\$\.x"):
                x_of(dtype, str(beyond))


class TestTimes:
    @pytest.mark.parametrize(
        ("text", "event_ms"),
        [
            ('"2013-10-01T12:00:00Z"', 1_380_628_800_000),
            ('"2013-10-01T14:00:00+02:00"', 1_380_628_800_000),
            ('"2013-10-01T12:00:00"', 1_380_628_800_000),
            ('"2013-10-01T12:00:00.123456Z"', 1_380_628_800_123),
            ("1380628800000", 1_380_628_800_000),
        ],
    )
    def test_a_time_is_rfc_3339_or_ms_and_without_a_zone_utc(self, text, event_ms):
        assert to_event_ms(x_of(DataType.UNIX_TIMESTAMP, text)) == event_ms

    @pytest.mark.parametrize("text", ['"2013-10-01"', '"now"', '"2013-13-01T00:00:00Z"', "1.5", "9" * 30, '""', "true"])
    def test_anything_else_is_none(self, text):
        with pytest.raises(DecodeError):
            x_of(DataType.UNIX_TIMESTAMP, text)

    def test_every_millisecond_survives(self):
        """No binary fraction in between."""
        start = datetime(1970, 1, 1, tzinfo=UTC)
        some = range(0, 4_102_444_800_000, 997_000_997)
        assert [to_event_ms(start + timedelta(milliseconds=ms)) for ms in some] == list(some)

    def test_the_first_moment_of_the_calendar_is_no_crash(self):
        assert to_event_ms(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=23)))) < 0


class TestNames:
    """Any name that Python could have is a column, also one that it has other uses for."""

    NAMES = (
        "from",
        "class",
        "None",
        "__x",
        "__init__",
        "__class__",
        "__slots__",
        "_x",
        "field__x",
        "fieldfield__x",
        "x__",
    )

    def test_every_column_is_read_under_its_own_name(self):
        columns = (Column("__at", DataType.INT64), *(Column(name, DataType.STRING) for name in self.NAMES))
        source = Source("s", "t", "", "json", columns, "__at")
        values = {name: f"{name}!" for name in self.NAMES}
        decoded = JsonDecoder(source)([json.dumps({"__at": 1_380_628_800_000, **values}).encode()])
        batch, errors = Validator(source, self.NAMES)(decoded.events)
        assert not errors
        assert batch.event_ms.tolist() == [1_380_628_800_000]
        assert {name: batch.values(name)[0] for name in self.NAMES} == values
        assert list(batch.frame()) == ["__at", *self.NAMES]

    def test_errors_name_the_field_as_it_was_sent(self):
        source = Source("s", "t", "", "json", (Column("__at", DataType.INT64),), "__at")
        with pytest.raises(DecodeError, match=r"\$\.__at"):
            JsonDecoder(source).decode_one(b'{"__at": "x"}')
