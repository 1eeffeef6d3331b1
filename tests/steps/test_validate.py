"""Decoded events to usable ones: each of the others is refused alone, and says why."""

import msgspec
import numpy as np
import pytest

from forebay.pipelines.contract.kafka.record import recorded_ms
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.types import Column, DataType
from forebay.pipelines.errors import InvalidEvent
from forebay.pipelines.steps.decode.decoder import JsonDecoder
from forebay.pipelines.steps.event_time import EARLIEST_MS, LATEST_MS
from forebay.pipelines.steps.validate import MAX_KEY_CHARACTERS, Validator
from tests.support.build import SOURCE

STRICT = Source(
    "s",
    "t",
    "",
    "json",
    (
        Column("at", DataType.UNIX_TIMESTAMP),
        Column("card", DataType.STRING, required=True),
        Column("amount", DataType.FLOAT64),
    ),
    "at",
    old_times=True,
)


def validate(source, *payloads):
    return Validator(source, ["card"])(JsonDecoder(source)(payloads).events)


INVALID = {
    "no time": (b'{"card": "a"}', "at"),
    "null time": (b'{"card": "a", "at": null}', "at"),
    "required null": (b'{"at": 1, "card": null}', "card"),
    "required missing": (b'{"at": 1}', "card"),
    "before 1970": (b'{"at": -1, "card": "a"}', "at"),
    "before 1970, as text": (b'{"at": "1969-12-31T23:59:59.999Z", "card": "a"}', "at"),
    "after 2100": (b'{"at": %d, "card": "a"}' % (LATEST_MS + 1), "at"),
    "nanoseconds": (b'{"at": 1380628800000000000, "card": "a"}', "at"),
    "endless key": (b'{"at": 1, "card": "%s"}' % (b"a" * (MAX_KEY_CHARACTERS + 1)), "card"),
}
VALID = b'{"at": 5, "card": "a"}'


@pytest.mark.parametrize(("payload", "field"), INVALID.values(), ids=INVALID.keys())
class TestInvalid:
    def test_the_error_names_topic_and_field(self, payload, field):
        batch, errors = validate(STRICT, payload)
        assert len(batch) == 0
        assert str(errors[0]).startswith(f"t: $.{field}: ")

    def test_its_neighbours_are_kept(self, payload, field):
        batch, errors = validate(STRICT, VALID, payload, VALID)
        assert (batch.index.tolist(), batch.event_ms.tolist(), list(errors)) == ([0, 2], [5, 5], [1])


@pytest.mark.parametrize(
    ("payload", "event_ms"),
    [
        (b'{"at": 0, "card": ""}', 0),
        (b'{"at": %d, "card": "a"}' % LATEST_MS, LATEST_MS),
        (b'{"at": "2013-10-01T12:00:00.001Z", "card": "%s"}' % (b"a" * MAX_KEY_CHARACTERS), 1_380_628_800_001),
    ],
)
def test_the_limits_themselves_are_valid(payload, event_ms):
    batch, errors = validate(STRICT, payload)
    assert (batch.event_ms.tolist(), errors) == ([event_ms], {})


def test_what_could_not_be_decoded_is_passed_over():
    """It has its error already; the places of the others stay those of their records."""
    batch, errors = validate(STRICT, b"garbage", VALID, None, VALID)
    assert (batch.index.tolist(), errors) == ([1, 3], {})


def test_an_empty_batch_is_one():
    batch, errors = validate(STRICT)
    assert (len(batch), errors) == (0, {})


def test_checking_together_and_one_by_one_agree():
    """The fast way takes whole columns; a single bad event sends the batch the other way."""
    payloads = [b'{"at": %d, "card": "%d", "amount": null}' % (at, at) for at in range(50)]
    fast, _ = validate(STRICT, *payloads)
    slow, errors = validate(STRICT, *payloads, INVALID["no time"][0])
    assert list(errors) == [50]
    assert fast.event_ms.tolist() == slow.event_ms.tolist()
    assert fast.values("card") == slow.values("card")


def test_one_event_is_checked_alone():
    """As the endpoint does."""
    event = JsonDecoder(SOURCE).decode_one(b'{"event_ms": 1380628800007}')
    assert Validator(SOURCE).check(event) == 1_380_628_800_007
    with pytest.raises(InvalidEvent, match=r"\$\.event_ms: required"):
        Validator(SOURCE).check(JsonDecoder(SOURCE).decode_one(b"{}"))


def test_a_long_text_that_names_no_entity_is_no_problem():
    payload = b'{"at": 1, "card": "%s"}' % (b"a" * (MAX_KEY_CHARACTERS + 1))
    _, errors = Validator(STRICT)(JsonDecoder(STRICT)([payload]).events)
    assert errors == {}


class TestAhead:
    """An event can't say that it happened much later than it was written down."""

    WRITTEN = 10_000_000

    def errors(self, *ahead_ms):
        payloads = [b'{"at": %d, "card": "a"}' % (self.WRITTEN + each) for each in ahead_ms]
        events = JsonDecoder(STRICT)(payloads).events
        batch, errors = Validator(STRICT)(events, np.full(len(events), self.WRITTEN))
        assert sorted([*batch.index.tolist(), *errors]) == list(range(len(events)))
        return errors

    def test_up_to_what_is_allowed_is_skew_and_beyond_is_refused_alone(self):
        errors = self.errors(-self.WRITTEN, STRICT.allowed_ahead_ms, STRICT.allowed_ahead_ms + 1, 0)
        assert list(errors) == [2]
        assert "lies 1 ms further ahead" in str(errors[2])
        assert "allowed_ahead" in str(errors[2])

    @pytest.mark.parametrize(("timestamp_ms", "latest_ms"), [(-1, 500), (400, 400), (600, 500)])
    def test_a_record_is_written_at_its_timestamp_but_never_after_now(self, timestamp_ms, latest_ms):
        assert recorded_ms([timestamp_ms], now_ms=500).tolist() == [latest_ms]


NOON = 1_380_628_800
"""2013-10-01 12:00 UTC, in seconds."""
TICKS = {"s": NOON, "ms": NOON * 10**3, "us": NOON * 10**6, "ns": NOON * 10**9}


class TestUnits:
    """A number in another unit than the source's is refused, and the unit that was meant is named."""

    def validate(self, value, unit="ms", old_times=False, dtype=DataType.INT64):
        columns = (Column("at", dtype), *STRICT.columns[1:])
        source = msgspec.structs.replace(STRICT, columns=columns, time_unit=unit, old_times=old_times)
        text = value if isinstance(value, int) else f'"{value}"'
        return validate(source, b'{"at": %s, "card": "a"}' % str(text).encode())

    @pytest.mark.parametrize("dtype", [DataType.INT64, DataType.UNIX_TIMESTAMP])
    @pytest.mark.parametrize("sent", TICKS)
    @pytest.mark.parametrize("declared", TICKS)
    def test_only_the_declared_unit_is_read(self, declared, sent, dtype):
        batch, errors = self.validate(TICKS[sent], declared, dtype=dtype)
        if sent == declared:
            assert (batch.event_ms.tolist(), errors) == ([1_380_628_800_000], {})
        else:
            assert f"in 2013, if it is {sent}: give the source the tag 'time_unit': '{sent}'" in str(errors[0])

    def test_finer_times_are_rounded_down(self):
        assert self.validate(TICKS["us"] + 1_999, "us")[0].event_ms.tolist() == [1_380_628_800_001]
        assert self.validate(TICKS["ns"] + 999_999, "ns")[0].event_ms.tolist() == [1_380_628_800_000]

    def test_text_has_no_unit(self):
        batch, _ = self.validate("2013-10-01T12:00:00.001Z", "s", dtype=DataType.UNIX_TIMESTAMP)
        assert batch.event_ms.tolist() == [1_380_628_800_001]
        assert batch.columns()["at"] == [1_380_628_800_001]

    def test_a_time_as_a_column_is_in_milliseconds_and_a_whole_number_stays_as_it_is(self):
        assert self.validate(NOON, "s", dtype=DataType.UNIX_TIMESTAMP)[0].columns()["at"] == [TICKS["ms"]]
        assert self.validate(NOON, "s", dtype=DataType.INT64)[0].columns()["at"] == [NOON]

    @pytest.mark.parametrize("value", [EARLIEST_MS - 1, "1970-12-31T23:59:59.999Z"])
    def test_times_before_1971_are_refused_unless_a_tag_allows_them(self, value):
        _, errors = self.validate(value, dtype=DataType.UNIX_TIMESTAMP)
        assert "before 1971" in str(errors[0])
        assert self.validate(value, old_times=True, dtype=DataType.UNIX_TIMESTAMP)[0].event_ms.tolist() == [
            EARLIEST_MS - 1
        ]

    def test_the_first_moment_of_1971_is_believed(self):
        assert self.validate(EARLIEST_MS)[0].event_ms.tolist() == [31_536_000_000]

    @pytest.mark.parametrize("unit", TICKS)
    @pytest.mark.parametrize("value", [-(2**63), 2**63 - 1])
    def test_the_widest_numbers_are_no_crash(self, value, unit):
        assert list(self.validate(value, unit)[1]) == [0]
