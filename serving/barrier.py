"""The barrier: an event is scored once the views computed from its own topic contain it.

A view read directly from the scored topic contains event e when its progress on e's partition has
passed e. For a routed view it is the progress of the routed partition of e's entity, at e's source
partition: e itself travels there, so the wait always ends.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.adapters.progress_reader import ProgressReader, ViewTopic
from pipelines.contract.plan import Source
from pipelines.contract.progress import Progress
from pipelines.contract.topology import routed_partition, routing_key
from pipelines.process.watchdog import step

POLL_S = 0.001


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

    def deadline(self) -> float:
        """Until when (monotonic seconds) a batch that is read now may wait, over all its partitions."""
        return time.monotonic() + self._wait_ms / 1_000

    def wait(
        self, partition: int, offsets: Sequence[int], fields: Sequence[Mapping[str, Any]], deadline: float
    ) -> list[bool]:
        """Per event of one partition, whether every view contained it in time.

        Args:
            offsets: n offsets in the scored topic.
            fields: the n events' columns.
            deadline: the batch's, monotonic seconds.
        """
        if not offsets:
            return []
        needed = self._needed(partition, offsets, fields)
        reached: dict[tuple[int, int], int] = {}
        while True:
            waiting = [each for each, offsets_ in needed.items() if reached.get(each, -1) < max(offsets_)]
            found = self._reader.progress_of([(self._views[at], where) for at, where in waiting]) if waiting else []
            for (at, where), progress in zip(waiting, found, strict=True):
                reached[at, where] = self._reached(self._views[at], progress, partition)
            done = all(reached[which] >= max(offsets_) for which, offsets_ in needed.items())
            if done or time.monotonic() >= deadline:
                break
            step("waiting for the events' features")
            time.sleep(POLL_S)
        missed = {offset for which, each in needed.items() for offset in each if offset > reached[which]}
        return [offset not in missed for offset in offsets]

    def _needed(
        self, partition: int, offsets: Sequence[int], fields: Sequence[Mapping[str, Any]]
    ) -> dict[tuple[int, int], list[int]]:
        """(view, partition of the view's topic) -> the offsets it must have contained."""
        needed: dict[tuple[int, int], list[int]] = {}
        for at, each in enumerate(self._views):
            if each.topic == self._source.topic:
                needed[at, partition] = list(offsets)
                continue
            for offset, event in zip(offsets, fields, strict=True):
                values = [event.get(key.name) for key in each.view.join_keys]
                if None not in values:
                    where = routed_partition(routing_key(values), each.partitions)
                    needed.setdefault((at, where), []).append(offset)
        return needed

    def _reached(self, each: ViewTopic, progress: Progress | None, source_partition: int) -> int:
        """The highest offset of the scored partition that the view contains there."""
        if progress is None:
            return -1
        if each.topic == self._source.topic:
            return progress.offset
        return progress.sources[source_partition].offset if source_partition in progress.sources else -1
