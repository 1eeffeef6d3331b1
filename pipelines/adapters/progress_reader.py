"""Progress as others see it: the scorer's barrier, and the watermark clock."""

from __future__ import annotations

from typing import Protocol

import msgspec

from pipelines.contract.plan import StreamView
from pipelines.contract.progress import Progress, decode_progress
from pipelines.contract.topology import progress_field, progress_key


class HashReader(Protocol):
    """What is needed of a store."""

    def read_hash(self, key: bytes) -> dict[bytes, bytes]:
        """All fields of a hash. Raises `StoreUnavailable`."""
        ...


class ViewTopic(msgspec.Struct, frozen=True):
    """A view, and the topic it is computed from."""

    view: StreamView
    topic: str
    partitions: int


class ProgressReader:
    """Reads the progress of some views. Not thread-safe."""

    def __init__(self, project: str, views: list[ViewTopic], store: HashReader) -> None:
        self._project = project
        self._views = views
        self._store = store

    def progress(self, each: ViewTopic, partition: int) -> Progress | None:
        """The view's progress on one partition; None before the first batch."""
        data = self._store.read_hash(progress_key(self._project, each.topic, partition)).get(progress_field(each.view))
        return decode_progress(data) if data else None

    def watermark_ms(self) -> int:
        """Highest event time contained in any view, ms since the epoch; 0 before the first event."""
        partitions = {(each.topic, partition) for each in self._views for partition in range(each.partitions)}
        fields = {progress_field(each.view) for each in self._views}
        newest = 0
        for topic, partition in partitions:
            stored = self._store.read_hash(progress_key(self._project, topic, partition))
            for field in fields & stored.keys():
                newest = max(newest, decode_progress(stored[field]).watermark_ms)
        return newest
