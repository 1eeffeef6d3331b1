"""Decode: payload bytes to typed events, whole batches at a time, built from the source's schema."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

import msgspec

from pipelines.contract.plan import Column, DataType, Source
from pipelines.errors import DecodeError

Payload = bytes | None

_TYPES: dict[DataType, Any] = {
    DataType.STRING: str,
    DataType.INT32: Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)],
    DataType.INT64: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],
    DataType.FLOAT32: float,
    DataType.FLOAT64: float,
    DataType.BOOL: bool,
    DataType.UNIX_TIMESTAMP: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | datetime,
}


def event_type(name: str, columns: Sequence[Column]) -> type[msgspec.Struct]:
    """A struct with one optional field per column; what is required is for `validate` to say."""
    fields = [(column.name, _TYPES[column.dtype] | None, None) for column in columns]
    return msgspec.defstruct(name, fields, frozen=True, gc=False)


class Decoded(NamedTuple):
    """The events of a batch and, by index, the errors of the payloads that are none."""

    events: list[Any]
    """One per payload; None where the payload could not be decoded."""
    errors: dict[int, DecodeError]


class JsonDecoder:
    """Decodes JSON objects of one source."""

    def __init__(self, source: Source) -> None:
        self._topic = source.topic
        self._decoder = msgspec.json.Decoder(event_type("Event", source.columns))

    def __call__(self, payloads: Sequence[Payload]) -> Decoded:
        """Decodes a batch; a bad payload costs only itself."""
        events = self._decode_joined(payloads)
        if events is not None:
            return Decoded(events, {})
        return self._decode_one_by_one(payloads)

    def _decode_joined(self, payloads: Sequence[Payload]) -> list[Any] | None:
        """All events through one call of the decoder; None if that can't be trusted.

        Every payload must be one line that starts and ends as an object does. Then no payload can
        complete its neighbour (inside a value, nothing may follow `}` and a line break with `{`), and an
        equal count means each line held exactly one event.
        """
        lines = []
        for payload in payloads:
            if payload is None or payload[:1] != b"{" or payload[-1:] != b"}":
                return None
            lines.append(payload)
        joined = b"\n".join(lines)
        if joined.count(b"\n") != len(lines) - 1:
            return None
        try:
            events = self._decoder.decode_lines(joined)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return events if len(events) == len(lines) else None

    def _decode_one_by_one(self, payloads: Sequence[Payload]) -> Decoded:
        events: list[Any] = []
        errors: dict[int, DecodeError] = {}
        for index, payload in enumerate(payloads):
            try:
                events.append(self.decode_one(payload))
            except DecodeError as error:
                events.append(None)
                errors[index] = error
        return Decoded(events, errors)

    def decode_one(self, payload: Payload) -> Any:
        """One event.

        Raises:
            DecodeError: saying what is wrong and where (`$.field`).
        """
        if payload is None:
            raise DecodeError(f"{self._topic}: the record has no value; an event is a JSON object")
        try:
            return self._decoder.decode(payload)
        except msgspec.ValidationError as error:
            raise DecodeError(f"{self._topic}: {error}") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DecodeError(f"{self._topic}: not JSON: {error}") from error
        except RecursionError as error:
            raise DecodeError(f"{self._topic}: nested too deeply") from error


def to_event_ms(value: int | datetime | None) -> int | None:
    """Event time in ms since the epoch; a time without zone is UTC."""
    if value is None or isinstance(value, int):
        return value
    zoned = value if value.tzinfo else value.replace(tzinfo=UTC)
    return int(zoned.timestamp() * 1_000)
