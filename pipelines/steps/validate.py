"""Validate: decoded events to a batch of usable ones; each of the others says why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.errors import InvalidEvent
from forebay.pipelines.steps.arrays import Ints
from forebay.pipelines.steps.decode.event_type import attribute
from forebay.pipelines.steps.event_time import LATEST_MS, earliest_ms, to_event_ms, why_refused
from forebay.pipelines.steps.events import EventBatch

MAX_KEY_CHARACTERS = 1_024
"""Of a join key that is a text: it becomes part of the row's key in the store."""


class Validator:
    """Checks the events of one source."""

    def __init__(self, source: Source, join_keys: Iterable[str] = ()) -> None:
        """Args:
        join_keys: columns that name entities.
        """
        self._source = source
        self._time = attrgetter(attribute(source.timestamp_field))
        self._required = [
            (column.name, attrgetter(attribute(column.name)))
            for column in source.columns
            if column.required or column.name == source.timestamp_field
        ]
        self._earliest_ms = earliest_ms(source)
        self._converts_times = source.time_unit != "ms" or any(
            column.name == source.timestamp_field and column.dtype is DataType.UNIX_TIMESTAMP
            for column in source.columns
        )
        keys = set(join_keys)
        self._texts = [
            (column.name, attrgetter(attribute(column.name)))
            for column in source.columns
            if column.dtype is DataType.STRING and column.name in keys
        ]

    def __call__(
        self, events: Sequence[Any], recorded_ms: Ints | None = None
    ) -> tuple[EventBatch, dict[int, InvalidEvent]]:
        """Returns the usable events as a batch, and by index the errors of the others; passes over None.

        Args:
            recorded_ms: shape (n,), when each event was written down: its own time can't be much later. One event
                from the far future would make every other one of its partition late. None: not known.
        """
        latest_ms = np.full(len(events), LATEST_MS)
        if recorded_ms is not None:
            latest_ms = np.minimum(recorded_ms + self._source.allowed_ahead_ms, LATEST_MS)
        if None not in events:
            event_ms = self._check_together(events, latest_ms)
            if event_ms is not None:
                return EventBatch(self._source, events, np.arange(len(events)), event_ms), {}
        kept: list[int] = []
        times: list[int] = []
        errors: dict[int, InvalidEvent] = {}
        for index, event in enumerate(events):
            if event is None:
                continue
            try:
                times.append(self.check(event, int(latest_ms[index])))
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

    def _check_together(self, events: Sequence[Any], latest_ms: Ints) -> Ints | None:
        """Checks whole columns by the rules of `check`: returns the event times, or None if any event breaks a rule."""
        if any(None in map(get, events) for _, get in self._required):
            return None
        for _, get in self._texts:
            if max((len(text) for text in map(get, events) if text), default=0) > MAX_KEY_CHARACTERS:
                return None
        times = list(map(self._time, events))
        if self._converts_times:
            times = [to_event_ms(time, self._source.time_unit) for time in times]
        if times and not (min(times) >= self._earliest_ms and max(times) <= LATEST_MS):
            return None
        event_ms = np.array(times, dtype=np.int64)
        return event_ms if (event_ms <= latest_ms).all() else None

    def check(self, event: Any, latest_ms: int = LATEST_MS) -> int:
        """Checks one event; returns its time in ms.

        Args:
            latest_ms: the event time may not be later.

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
        time = self._time(event)
        place = f"{self._source.topic}: $.{self._source.timestamp_field}"
        refusal = why_refused(time, self._source)
        if refusal is not None:
            raise InvalidEvent(f"{place}: {refusal}")
        event_ms: int = to_event_ms(time, self._source.time_unit)
        if event_ms > latest_ms:
            raise InvalidEvent(
                f"{place}: {event_ms} lies {event_ms - latest_ms} ms further ahead of the record's own time than tag "
                f"'allowed_ahead' lets it "
                f"({self._source.allowed_ahead_ms} ms): correct the producer's clock or time zone"
            )
        return event_ms
