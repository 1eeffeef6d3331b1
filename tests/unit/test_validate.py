"""Decoded events to usable ones: each of the others is refused alone, and says why."""

import numpy as np
import pytest

from pipelines.contract.plan import Column, DataType, Source
from pipelines.contract.records import recorded_ms
from pipelines.errors import InvalidEvent
from pipelines.steps.decode import JsonDecoder
from pipelines.steps.validate import LATEST_MS, MAX_KEY_CHARACTERS, Validator
from tests.build import SOURCE

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
    event = JsonDecoder(SOURCE).decode_one(b'{"event_ms": 7}')
    assert Validator(SOURCE).check(event) == 7
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
