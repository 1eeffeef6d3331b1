"""Progress of all views on one partition: read at assignment, written after every batch."""

from __future__ import annotations

from collections.abc import Mapping

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
from pipelines.contract.topology import Feed, is_progress_of, progress_field, progress_key
from pipelines.feature_processor.mismatch import another_life


class ProgressLedger:
    """The views' progress on one partition, in the process and in the store."""

    def __init__(self, project: str, feed: Feed, store: Store, lineage: Lineage, partition: int) -> None:
        self._key = progress_key(project, lineage.topic, partition)
        self._feed = feed
        self._views = feed.views
        self._store = store
        self._lineage = lineage
        self._partition = partition
        self._progress: dict[str, Progress] = {}

    @property
    def offset(self) -> int:
        """Every view contains all records up to here: the slowest says where to start."""
        return min((progress.offset for progress in self._progress.values()), default=NOTHING_YET)

    def load(self) -> None:
        """Reads the progress of every view, and removes what other definitions of it had made.

        From here on this definition writes over the rows of the others. One that comes back must not go on from
        where it was: its rows are gone.

        Raises:
            ProgressMismatch: progress was made on another life of the topic.
        """
        stored = self._store.read_hash(self._key)
        self._progress = self._of_views(stored)
        if given_up := self._of_other_definitions(stored):
            self._store.remove_from_hash(self._key, given_up)

    def of(self, view: StreamView) -> Progress:
        """What a view contains; views that were added at different times differ."""
        return self._progress[view.name]

    def has_fallen_back(self) -> bool:
        """Whether the store lost what this process had written or removed. Raises as `load`."""
        stored = self._store.read_hash(self._key)
        behind = (each.offset < self._progress[name].offset for name, each in self._of_views(stored).items())
        return any(behind) or bool(self._of_other_definitions(stored))

    def _of_other_definitions(self, stored: Mapping[bytes, bytes]) -> list[bytes]:
        present = {progress_field(view) for view in self._views}
        return [
            field
            for field in stored
            if field not in present and any(is_progress_of(field, view) for view in self._views)
        ]

    def _of_views(self, stored: Mapping[bytes, bytes]) -> dict[str, Progress]:
        found = {}
        for view in self._views:
            data = stored.get(progress_field(view))
            found[view.name] = decode_progress(data) if data else Progress(self._lineage)
        if others := [name for name, progress in found.items() if progress.lineage != self._lineage]:
            raise another_life(found[others[0]].lineage, self._lineage, self._partition, self._feed, others)
        return found

    def advance(self, offset: int, sources: Mapping[str, Mapping[int, SourceProgress]]) -> None:
        """Writes that views contain all records up to `offset`.

        Args:
            sources: per view that has come forward, its source partitions.
        """
        fields: dict[bytes, bytes] = {}
        for view in self._views:
            if view.name in sources:
                progress = Progress(self._lineage, offset, dict(sources[view.name]))
                self._progress[view.name] = progress
                fields[progress_field(view)] = encode_progress(progress)
        if fields:
            self._store.write_hash(self._key, fields)

    def watermark_ms(self) -> int:
        """Highest event time that some view contains; -1 before the first."""
        return max(progress.watermark_ms for progress in self._progress.values())
