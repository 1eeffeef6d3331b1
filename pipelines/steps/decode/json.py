"""JSON objects to events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.errors import DecodeError
from forebay.pipelines.steps.decode.event_type import Decoded, Payload, event_type, one_by_one


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
        return one_by_one(self.decode_one, payloads)

    def _decode_joined(self, payloads: Sequence[Payload]) -> list[Any] | None:
        """Decodes all events in one call of the decoder; None where the result can't be trusted.

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

    def decode_one(self, payload: Payload) -> Any:
        """Decodes one event.

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
