"""Progress of all views and routes on one partition: read at assignment, written after every batch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from forebay.pipelines.adapters.online_store import Store
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.kafka.topics import Feed
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.contract.store.keys import is_progress_of, progress_field, progress_key, route_field
from forebay.pipelines.contract.store.lease import leases_key
from forebay.pipelines.contract.store.progress import (
    NOTHING_YET,
    Progress,
    SourceProgress,
    decode_progress,
    encode_progress,
)
from forebay.pipelines.feature_processor.progress.cannot_continue import another_incarnation, not_retained


class Incarnations(NamedTuple):
    """The incarnations of topics that progress is made on."""

    read: Incarnation
    """Of the topic that is read."""
    routes: Mapping[str, Incarnation] = MappingProxyType({})
    """By routed topic, of those it is routed into."""


class ProgressLedger:
    """How far the views and routes of a feed have come on one partition, in the process and in the store."""

    def __init__(self, project: str, feed: Feed, store: Store, incarnations: Incarnations, partition: int) -> None:
        self.key = progress_key(project, incarnations.read.topic, partition)
        """Of the hash in the store."""
        self._leases_key = leases_key(project)
        self._feed = feed
        self._store = store
        self._partition = partition
        self._views = {progress_field(view): incarnations.read for view in feed.views}
        self._routes = {route_field(route): incarnations.routes[route.topic] for route in feed.routes}
        self._progress: dict[bytes, Progress] = {}
        self._fresh: dict[bytes, Progress] = {}

    @property
    def offset(self) -> int:
        """Everything contains all records up to here: the slowest says where to start."""
        return min(progress.offset for progress in self._progress.values())

    def load(self, earliest: int) -> None:
        """Reads all progress, and changes nothing.

        Args:
            earliest: the first offset that Kafka retains: what has no progress has nothing to wait for before it.

        Raises:
            ProgressMismatch: a view's progress was made on another incarnation of the topic, or records were removed
                before they were read.
        """
        found = self._found(self._store.read_hash(self.key))
        reached = [each.offset for each in found.values() if each.offset != NOTHING_YET]
        if reached and min(reached) < earliest - 1:
            raise not_retained(self._feed, self._partition, min(reached) + 1, earliest)
        self._fresh = {
            field: Progress(each.incarnation, earliest - 1)
            for field, each in found.items()
            if each.offset == NOTHING_YET
        }
        self._progress = found | self._fresh

    def begin(self) -> None:
        """Writes the first progress of what had none: that it is computed is known before its first row is."""
        if self._fresh:
            self._write(self._fresh)
            self._fresh = {}

    def of(self, view: StreamView) -> Progress:
        """Returns what a view contains; views that were added at different times differ."""
        return self._progress[progress_field(view)]

    def routed(self) -> dict[bytes, int]:
        """Returns, by `route_field`, the offset up to which records have been routed."""
        return {field: self._progress[field].offset for field in self._routes}

    def has_fallen_back(self) -> bool:
        """Tells whether the store lost what this process had written. Raises as `load`."""
        found = self._found(self._store.read_hash(self.key))
        return any(each.offset < self._progress[field].offset for field, each in found.items())

    def others(self, view: StreamView) -> dict[str, Progress]:
        """Returns what the other definitions of the view have reached, by fingerprint."""
        found = definitions(self._store.read_hash(self.key), view)
        found.pop(progress_field(view), None)
        return {field.rpartition(b"@")[2].decode(): progress for field, progress in found.items()}

    def retire(self, view: StreamView, fingerprints: Collection[str]) -> set[str]:
        """Removes the progress of other definitions of the view, but of none that a scorer holds a lease on.

        Their rows are dead from here on: should such a definition come back, it begins afresh.

        Returns:
            The fingerprints of those whose progress is gone.
        """
        if not fingerprints:
            return set()
        fields = [progress_field(msgspec.structs.replace(view, fingerprint=each)) for each in fingerprints]
        gone = self._store.remove_unless_leased(self.key, fields, self._leases_key)
        return {field.rpartition(b"@")[2].decode() for field in gone}

    def advanced(self, offset: int, sources: Mapping[str, Mapping[int, SourceProgress]]) -> dict[bytes, Progress]:
        """Computes the progress to write once all views contain all records up to `offset`.

        Args:
            sources: per view that has come forward, its source partitions. Routes have none.

        Returns:
            By field of the hash, what has come forward; it is to be written, and then `written` to be called.
        """
        forward = {
            progress_field(view): Progress(self._views[progress_field(view)], offset, dict(sources[view.name]))
            for view in self._feed.views
            if view.name in sources
        }
        forward |= {
            field: Progress(incarnation, offset)
            for field, incarnation in self._routes.items()
            if self._progress[field].offset < offset
        }
        return forward

    def written(self, forward: Mapping[bytes, Progress]) -> None:
        """Takes note of progress that the store has acknowledged."""
        self._progress |= forward

    def watermark_ms(self) -> int:
        """Returns the highest event time that some view contains; -1 before the first."""
        return max(progress.watermark_ms for progress in self._progress.values())

    def _write(self, progress: Mapping[bytes, Progress]) -> None:
        self._store.write_hash(self.key, encoded(progress))

    def _found(self, stored: Mapping[bytes, bytes]) -> dict[bytes, Progress]:
        """Reads what has been reached in these incarnations of the topics. A route into a topic made anew begins
        afresh.
        """
        found = {}
        mismatched: dict[str, Incarnation] = {}
        for view in self._feed.views:
            field, incarnation = progress_field(view), self._views[progress_field(view)]
            found[field] = _stored(stored, field, incarnation)
            if found[field].incarnation != incarnation:
                mismatched[view.name] = found[field].incarnation
        if mismatched:
            was, present = next(iter(mismatched.values())), next(iter(self._views.values()))
            raise another_incarnation(was, present, self._partition, self._feed, list(mismatched))
        for field, incarnation in self._routes.items():
            progress = _stored(stored, field, incarnation)
            found[field] = progress if progress.incarnation == incarnation else Progress(incarnation)
        return found


def encoded(progress: Mapping[bytes, Progress]) -> dict[bytes, bytes]:
    """Progress by field, as it is stored."""
    return {field: encode_progress(each) for field, each in progress.items()}


def _stored(stored: Mapping[bytes, bytes], field: bytes, incarnation: Incarnation) -> Progress:
    return decode_progress(stored[field]) if field in stored else Progress(incarnation)


def definitions(stored: Mapping[bytes, bytes], view: StreamView) -> dict[bytes, Progress]:
    """Reads, by field of a progress hash, what all definitions of a view have reached."""
    return {field: decode_progress(data) for field, data in stored.items() if is_progress_of(field, view)}
