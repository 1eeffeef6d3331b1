"""The barrier: an event is scored once the views computed from its own topic contain it.

A view read directly from the scored topic contains event e when its progress on e's partition has
passed e. For a routed view it is the progress of the routed partition of e's entity, at e's source
partition: e itself travels there, so the wait always ends.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pipelines.adapters.progress_reader import ProgressReader, ViewTopic
from pipelines.contract.plan import Source
from pipelines.contract.progress import Progress
from pipelines.contract.topology import routed_partition, routing_key
from pipelines.process.watchdog import step

POLL_S = 0.001


class Awaited(NamedTuple):
    """An event of the scored topic that is waited for."""

    partition: int
    offset: int
    fields: Mapping[str, Any]
    """The event's columns."""


class _Place(NamedTuple):
    """Where a view's progress says that it contains events."""

    view: int
    """Index of the view."""
    partition: int
    """Of the topic that the view is computed from."""
    source: int
    """Partition of the scored topic."""


class Barrier:
    """Waits for the views that a feature service reads and that are computed from the scored topic."""

    def __init__(self, source: Source, views: Sequence[ViewTopic], reader: ProgressReader, wait_ms: int) -> None:
        """Args:
        wait_ms: how long a batch waits at most.
        """
        self._source = source
        self._views = views
        self._reader = reader
        self._wait_ms = wait_ms

    def wait(self, events: Sequence[Awaited]) -> list[bool]:
        """Per event of a batch, whether every view contained it in time.

        All that is still missing is asked for in one round trip, again and again until it is there or time is up.

        Raises:
            StoreUnavailable: the same events can be waited for again.
        """
        deadline = time.monotonic() + self._wait_ms / 1_000
        needed = self._needed(events)
        reached: dict[_Place, int] = {}
        while True:
            waiting = [place for place, members in needed.items() if reached.get(place, -1) < max(members.values())]
            for place, progress in zip(waiting, self._progress(waiting), strict=True):
                reached[place] = self._reached(place, progress)
            if all(reached[place] >= max(members.values()) for place, members in needed.items()):
                break
            if time.monotonic() >= deadline:
                break
            step("waiting for the events' features")
            time.sleep(POLL_S)
        missed = {at for place, members in needed.items() for at, offset in members.items() if offset > reached[place]}
        return [at not in missed for at in range(len(events))]

    def _progress(self, places: Sequence[_Place]) -> list[Progress | None]:
        if not places:
            return []
        return self._reader.progress_of([(self._views[place.view], place.partition) for place in places])

    def _needed(self, events: Sequence[Awaited]) -> dict[_Place, dict[int, int]]:
        """Where events must be contained: by place, their indices and their offsets in the scored topic."""
        needed: dict[_Place, dict[int, int]] = {}
        for view, each in enumerate(self._views):
            for at, event in enumerate(events):
                partition = self._partition(each, event)
                if partition is not None:
                    needed.setdefault(_Place(view, partition, event.partition), {})[at] = event.offset
        return needed

    def _partition(self, each: ViewTopic, event: Awaited) -> int | None:
        """The partition of the view's topic that an event is read from; None: the view does not take it."""
        if each.topic == self._source.topic:
            return event.partition
        values = [event.fields.get(key.name) for key in each.view.join_keys]
        return None if None in values else routed_partition(routing_key(values), each.partitions)

    def _reached(self, place: _Place, progress: Progress | None) -> int:
        """The highest offset of the scored partition that the view contains there."""
        if progress is None:
            return -1
        if self._views[place.view].topic == self._source.topic:
            return progress.offset
        return progress.sources[place.source].offset if place.source in progress.sources else -1
