"""Validate: decoded events to a batch of usable ones; each of the others says why."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from pipelines.contract.plan import DataType, Source
from pipelines.errors import InvalidEvent
from pipelines.steps.decoded import to_event_ms
from pipelines.steps.events import EventBatch
from pipelines.steps.tiles import Ints

EARLIEST_MS = 0
LATEST_MS = 4_102_444_800_000
"""2100-01-01: later event times are a unit mistake (ns or us taken for ms), not a fact."""

MAX_KEY_CHARACTERS = 1_024


class Validator:
    """Checks the events of one source."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._time = attrgetter(source.timestamp_field)
        self._required = [
            (column.name, attrgetter(column.name))
            for column in source.columns
            if column.required or column.name == source.timestamp_field
        ]
        self._parses_times = any(
            column.name == source.timestamp_field and column.dtype is DataType.UNIX_TIMESTAMP
            for column in source.columns
        )
        self._texts = [
            (column.name, attrgetter(column.name)) for column in source.columns if column.dtype is DataType.STRING
        ]

    def __call__(self, events: Sequence[Any]) -> tuple[EventBatch, dict[int, InvalidEvent]]:
        """The usable events, and by index the errors of the others; None events are passed over."""
        if None not in events:
            event_ms = self._check_together(events)
            if event_ms is not None:
                return EventBatch(self._source, events, np.arange(len(events)), event_ms), {}
        kept: list[int] = []
        times: list[int] = []
        errors: dict[int, InvalidEvent] = {}
        for index, event in enumerate(events):
            if event is None:
                continue
            try:
                times.append(self.check(event))
            except InvalidEvent as error:
                errors[index] = error
            else:
                kept.append(index)
        batch = EventBatch(
            self._source,
            [events[index] for index in kept],
            np.array(kept, dtype=np.int64),
            np.array(times, dtype=np.int64),
        )
        return batch, errors

    def _check_together(self, events: Sequence[Any]) -> Ints | None:
        """The event times if every event passes every rule, else None: the rules of `check`, by column."""
        if any(None in map(get, events) for _, get in self._required):
            return None
        for _, get in self._texts:
            if max((len(text) for text in map(get, events) if text), default=0) > MAX_KEY_CHARACTERS:
                return None
        times = list(map(self._time, events))
        if self._parses_times:
            times = [to_event_ms(time) for time in times]
        if times and not (min(times) >= EARLIEST_MS and max(times) <= LATEST_MS):
            return None
        return np.array(times, dtype=np.int64)

    def check(self, event: Any) -> int:
        """The event time in ms of a valid event.

        Raises:
            InvalidEvent: naming the field and the rule.
        """
        for name, get in self._required:
            if get(event) is None:
                raise InvalidEvent(f"{self._source.topic}: $.{name}: required, but null or missing")
        for name, get in self._texts:
            text = get(event)
            if text is not None and len(text) > MAX_KEY_CHARACTERS:
                raise InvalidEvent(
                    f"{self._source.topic}: $.{name}: {len(text)} characters, at most {MAX_KEY_CHARACTERS} are allowed"
                )
        event_ms = to_event_ms(self._time(event))
        if event_ms is None or not EARLIEST_MS <= event_ms <= LATEST_MS:
            raise InvalidEvent(
                f"{self._source.topic}: $.{self._source.timestamp_field}: {event_ms} is no time between 1970 and "
                f"2100 in milliseconds since the epoch"
            )
        return event_ms
