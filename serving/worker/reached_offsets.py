"""How far views have come with the scored topic, as far as is known: read on a thread beside the scoring thread."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from forebay.pipelines.adapters.progress_reader import ProgressReader, ViewTopic
from forebay.pipelines.contract.store.progress import Progress

KNOWN_FOR_S = 0.25
"""How long what was read is believed. Progress only grows, unless the store falls back to older data: then readers
would take rows for newer than they are for as long as this."""


class Place(NamedTuple):
    """Where a view's progress says that it contains events."""

    view: int
    """Index of the view."""
    partition: int
    """Of the topic that the view is computed from."""
    source: int
    """Partition of the scored topic."""


class _Known(NamedTuple):
    offset: int
    """The highest one that the view contains; -1: none."""
    until_s: float


class ReachedOffsets:
    """The highest offsets of the scored topic that views contain. For one thread, beside the one of its own."""

    def __init__(self, topic: str, views: Sequence[ViewTopic], reader: ProgressReader) -> None:
        """Args:
        topic: the scored one.
        reader: is used on the thread of this object alone.
        """
        self._topic = topic
        self._views = views
        self._reader = reader
        # Its thread begins with the first question, and ends when this object is collected.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="progress")
        self._ahead: Future[None] | None = None
        self._known: dict[Place, _Known] = {}

    def missing(self, needed: Mapping[Place, Mapping[int, int]]) -> list[Place]:
        """Lists the places that are not known to contain all of their events.

        Args:
            needed: by place, offsets in the scored topic by index of the event.
        """
        return [place for place, offsets in needed.items() if not self.has(place, max(offsets.values()))]

    def has(self, place: Place, offset: int) -> bool:
        """Tells whether the record at this offset is known to be contained."""
        known = self._known.get(place)
        return known is not None and known.offset >= offset and time.monotonic() < known.until_s

    def read(self, places: Sequence[Place]) -> None:
        """Reads how far these places are, in one round trip, and waits for the answer.

        Raises:
            StoreUnavailable: it can be tried again.
        """
        self._thread.submit(self._read, places).result()

    def read_ahead(self, places: Iterable[Place]) -> None:
        """Begins to read how far these places are, for the next batch. It learns of an error when it asks itself."""
        wanted = list(places)
        if wanted and (self._ahead is None or self._ahead.done()):
            self._ahead = self._thread.submit(self._read, wanted)

    def _read(self, places: Sequence[Place]) -> None:
        until_s = time.monotonic() + KNOWN_FOR_S
        found = self._reader.progress_of([(self._views[place.view], place.partition) for place in places])
        read = {place: _Known(self._offset(place, each), until_s) for place, each in zip(places, found, strict=True)}
        # A new dictionary: the other thread may be reading the one before.
        self._known = {
            place: known for place, known in self._known.items() if known.until_s > until_s - KNOWN_FOR_S
        } | read

    def _offset(self, place: Place, progress: Progress | None) -> int:
        if progress is None:
            return -1
        if self._views[place.view].topic == self._topic:
            return progress.offset
        return progress.sources[place.source].offset if place.source in progress.sources else -1
