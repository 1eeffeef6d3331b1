"""Reads progress as other processes see it: the scorer's barrier, and the watermark clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.contract.store.keys import progress_field, progress_key
from forebay.pipelines.contract.store.progress import Progress, decode_progress


class HashReader(Protocol):
    """What readers of single hashes need of a store."""

    def read_hash(self, key: bytes) -> dict[bytes, bytes]:
        """Reads all fields of a hash. Raises `StoreUnavailable`."""
        ...


class ProgressStore(HashReader, Protocol):
    """What reading progress of many places at once needs of a store."""

    def read(self, requests: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[list[bytes | None]]:
        """Reads, per (key, fields), the fields' values; None where absent. Raises `StoreUnavailable`."""
        ...


class ViewTopic(msgspec.Struct, frozen=True):
    """A view, and the topic it is computed from."""

    view: StreamView
    topic: str
    incarnation: Incarnation
    """Of the topic. Progress that was made on another one is as good as none: its offsets do not compare."""

    @property
    def partitions(self) -> int:
        """Of the topic."""
        return self.incarnation.partitions


class ProgressReader:
    """Reads the progress of some views. Not thread-safe."""

    def __init__(self, project: str, views: list[ViewTopic], store: ProgressStore) -> None:
        self._project = project
        self._views = views
        self._store = store

    def progress(self, each: ViewTopic, partition: int) -> Progress | None:
        """Reads the view's progress on one partition; None before the first batch."""
        return self.progress_of([(each, partition)])[0]

    def progress_of(self, places: Sequence[tuple[ViewTopic, int]]) -> list[Progress | None]:
        """Reads the progress of some views, each on one partition, in one round trip; None before the first batch."""
        stored = self._store.read(
            [
                (progress_key(self._project, each.topic, partition), [progress_field(each.view)])
                for each, partition in places
            ]
        )
        return [_present(each, data) for (each, _), (data,) in zip(places, stored, strict=True)]

    def watermark_ms(self) -> int:
        """Returns the highest event time contained in any view, ms since the epoch; 0 before the first event."""
        places = [(each, partition) for each in self._views for partition in range(each.partitions)]
        reached = [progress.watermark_ms for progress in self.progress_of(places) if progress is not None]
        return max(0, *reached) if reached else 0


def _present(each: ViewTopic, data: bytes | None) -> Progress | None:
    progress = decode_progress(data) if data else None
    return progress if progress is not None and progress.incarnation == each.incarnation else None
