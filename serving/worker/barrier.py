"""The barrier: an event is scored once the views computed from its own topic contain it.

A view read directly from the scored topic contains event e when its progress on e's partition has
passed e. For a routed view it is the progress of the routed partition of e's entity, at e's source
partition: e itself travels there, so the wait always ends.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from forebay.pipelines.adapters.progress_reader import ProgressReader, ViewTopic
from forebay.pipelines.contract.kafka.rekeying import routed_partition, routing_key
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.process.watchdog import step
from forebay.serving.worker.reached_offsets import Place, ReachedOffsets

POLL_S = 0.001


class Awaited(NamedTuple):
    """An event of the scored topic that is waited for."""

    partition: int
    offset: int
    fields: Mapping[str, Any]
    """The event's columns."""


class Barrier:
    """Waits for the views that a feature service reads and that are computed from the scored topic."""

    def __init__(self, source: Source, views: Sequence[ViewTopic], reader: ProgressReader, wait_ms: int) -> None:
        """Args:
        reader: is used on a thread of the barrier's own.
        wait_ms: how long a batch waits at most.
        """
        self._source = source
        self._views = views
        self._reached = ReachedOffsets(source.topic, views, reader)
        self._wait_ms = wait_ms

    def wait(self, events: Sequence[Awaited]) -> list[bool]:
        """Waits for the views; tells, per event of a batch, whether every view contained it in time.

        Nothing is asked for that was seen to be there while the batch before was scored.

        Raises:
            StoreUnavailable: the same events can be waited for again.
        """
        deadline = time.monotonic() + self._wait_ms / 1_000
        needed = self._needed(events)
        missing = self._reached.missing(needed)
        while missing:
            step("waiting for the events' features")
            self._reached.read(missing)
            missing = self._reached.missing(needed)
            if not missing or time.monotonic() >= deadline:
                break
            time.sleep(POLL_S)
        missed = {
            at for place in missing for at, offset in needed[place].items() if not self._reached.has(place, offset)
        }
        self._reached.read_ahead(needed)
        return [at not in missed for at in range(len(events))]

    def _needed(self, events: Sequence[Awaited]) -> dict[Place, dict[int, int]]:
        """Finds, by place, which events must be contained there: their indices and offsets in the scored topic."""
        needed: dict[Place, dict[int, int]] = {}
        for view, each in enumerate(self._views):
            for at, event in enumerate(events):
                partition = self._partition(each, event)
                if partition is not None:
                    needed.setdefault(Place(view, partition, event.partition), {})[at] = event.offset
        return needed

    def _partition(self, each: ViewTopic, event: Awaited) -> int | None:
        """Finds the partition of the view's topic that an event is read from; None where the view does not take it."""
        if each.topic == self._source.topic:
            return event.partition
        values = [event.fields.get(key.name) for key in each.view.join_keys]
        return None if None in values else routed_partition(routing_key(values), each.partitions)
