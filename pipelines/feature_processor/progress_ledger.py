"""Progress of all views and routes on one partition: read at assignment, written after every batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pipelines.adapters.store import Store
from pipelines.contract.fence import Lineage
from pipelines.contract.plan import StreamView
from pipelines.contract.progress import (
    NOTHING_YET,
    Progress,
    SourceProgress,
    decode_progress,
    encode_progress,
)
from pipelines.contract.topology import Feed, Route, is_progress_of, progress_field, progress_key, route_field
from pipelines.errors import ProgressMismatch


class _Part(NamedTuple):
    """Something that is brought forward by records: a view, or a route into another topic."""

    field: bytes
    what: str
    """For errors."""
    repair: str


class Lives(NamedTuple):
    """The lives of topics that offsets belong to."""

    topic: Lineage
    origin: Lineage | None = None
    """Of the topic that a routed one is routed from."""


class ProgressLedger:
    """How far the views and routes of a feed have come on one partition, in the process and in the store."""

    def __init__(self, project: str, feed: Feed, store: Store, lives: Lives, partition: int) -> None:
        lineage = lives.topic
        self.key = progress_key(project, lineage.topic, partition)
        """Of the hash in the store."""
        self._origin = lives.origin
        self._views = feed.views
        self._store = store
        self._lineage = lineage
        self._partition = partition
        self._parts = list(map(_view_part, feed.views))
        self._parts += map(_route_part, feed.routes)
        self._progress: dict[bytes, Progress] = {}

    @property
    def offset(self) -> int:
        """Everything contains all records up to here: the slowest says where to start."""
        return min(progress.offset for progress in self._progress.values())

    def load(self) -> None:
        """Reads all progress. What has none gets its first: that it is computed is known before its first row is.

        Raises:
            ProgressMismatch: progress was made on another life of the topic.
        """
        stored = self._store.read_hash(self.key)
        self._progress = {part.field: self._found(stored, part) for part in self._parts}
        if missing := {field: each for field, each in self._progress.items() if field not in stored}:
            self._write(missing)

    def begin(self, earliest: int) -> None:
        """Takes note of the first record that Kafka retains: what never saw one before has nothing to wait for.

        Raises:
            ProgressMismatch: some records were removed before they were read.
        """
        for part in self._parts:
            offset = self._progress[part.field].offset
            if NOTHING_YET < offset < earliest - 1:
                raise ProgressMismatch(
                    f"progress of {part.what} on {self._lineage.topic}[{self._partition}] ends at offset {offset}, but "
                    f"Kafka retains records only from {earliest}: those between are lost; {part.repair}, "
                    f"then start again"
                )
        fresh = [field for field, each in self._progress.items() if each.offset == NOTHING_YET]
        if fresh and earliest > 0:
            self._progress.update(dict.fromkeys(fresh, self._at(earliest - 1)))
            self._write({field: self._progress[field] for field in fresh})

    def of(self, view: StreamView) -> Progress:
        """What a view contains; views that were added at different times differ."""
        return self._progress[progress_field(view)]

    def routed(self) -> dict[bytes, int]:
        """By `route_field`, the offset up to which records have been routed."""
        views = {progress_field(view) for view in self._views}
        return {field: progress.offset for field, progress in self._progress.items() if field not in views}

    def has_fallen_back(self) -> bool:
        """Whether the store lost what this process had written. Raises as `load`."""
        stored = self._store.read_hash(self.key)
        return any(self._found(stored, part).offset < self._progress[part.field].offset for part in self._parts)

    def retire_others(self, view: StreamView) -> list[str]:
        """Removes the progress of all other definitions of the view; returns their fingerprints.

        Their rows are dead from here on: should such a definition come back, it begins afresh.
        """
        others = list(other_definitions(self._store.read_hash(self.key), view))
        if others:
            self._store.remove_from_hash(self.key, others)
        return [field.rpartition(b"@")[2].decode() for field in others]

    def advance(self, offset: int, sources: Mapping[str, Mapping[int, SourceProgress]]) -> None:
        """Writes that everything contains all records up to `offset`.

        Args:
            sources: per view that has come forward, its source partitions. Routes have none.
        """
        views = {progress_field(view): sources[view.name] for view in self._views if view.name in sources}
        routes = [field for field, reached in self.routed().items() if reached < offset]
        forward = {field: self._at(offset, each) for field, each in views.items()}
        forward |= dict.fromkeys(routes, self._at(offset))
        self._progress.update(forward)
        if forward:
            self._write(forward)

    def watermark_ms(self) -> int:
        """Highest event time that some view contains; -1 before the first."""
        return max(progress.watermark_ms for progress in self._progress.values())

    def _write(self, progress: Mapping[bytes, Progress]) -> None:
        self._store.write_hash(self.key, {field: encode_progress(each) for field, each in progress.items()})

    def _found(self, stored: Mapping[bytes, bytes], part: _Part) -> Progress:
        data = stored.get(part.field)
        progress = decode_progress(data) if data else self._at(NOTHING_YET)
        self._check(part, progress.lineage, self._lineage)
        if progress.origin is not None and self._origin is not None:
            self._check(part, progress.origin, self._origin)
        return progress

    def _at(self, offset: int, sources: Mapping[int, SourceProgress] | None = None) -> Progress:
        return Progress(self._lineage, offset, dict(sources or {}), self._origin)

    def _check(self, part: _Part, stored: Lineage, present: Lineage) -> None:
        if stored != present:
            raise ProgressMismatch(
                f"{part.what}: progress on partition {self._partition} of topic {self._lineage.topic!r} was made when "
                f"topic {stored.topic!r} had id {stored.topic_id} and {stored.partitions} partitions; it now has id "
                f"{present.topic_id} and {present.partitions} partitions, so its offsets do not compare: "
                f"{part.repair}, then start again"
            )


def other_definitions(stored: Mapping[bytes, bytes], view: StreamView) -> dict[bytes, Progress]:
    """In a progress hash, what the other definitions of a view have reached; by field."""
    own = progress_field(view)
    return {
        field: decode_progress(data) for field, data in stored.items() if field != own and is_progress_of(field, view)
    }


def _view_part(view: StreamView) -> _Part:
    return _Part(progress_field(view), f"view {view.name!r}", f"rebuild the view with `forebay rebuild {view.name}`")


def _route_part(route: Route) -> _Part:
    return _Part(route_field(route), f"route {route.topic!r}", "rebuild the views computed from it")
