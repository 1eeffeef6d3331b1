"""The rows of one view in the store, and those of them that the process keeps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from forebay.pipelines.adapters import metrics
from forebay.pipelines.adapters.online_store import Outcome, Store
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.contract.store.erasure import NEVER, Erasure
from forebay.pipelines.contract.store.keys import held_key
from forebay.pipelines.errors import StoreRolledBack
from forebay.pipelines.feature_processor.rows.cache import RowCache
from forebay.pipelines.feature_processor.rows.encode import RowEncoder, ShownValues
from forebay.pipelines.feature_processor.rows.erasures import Erasures
from forebay.pipelines.feature_processor.rows.held_back import HeldBack
from forebay.pipelines.feature_processor.rows.slices import RowSlices
from forebay.pipelines.steps.tile_state.row_codec import StoredRow
from forebay.pipelines.steps.windows.aggregate import Aggregated

CACHED_BYTES = 128 * 1024 * 1024
"""Rows of one view kept in the process; beyond it, those that were not used for longest are read again when needed."""


class RowPlace(NamedTuple):
    """Where rows are, and what they are computed from."""

    project: str
    topic: str
    store: Store


class NotTaken(NamedTuple):
    """The entities whose rows the store did not take, by their index."""

    behind: list[int]
    """The stored row was ahead: it contains later records; or it had expired, and has been removed."""
    forgotten: dict[int, Erasure]
    """The row is absent because its entity was forgotten."""
    foreign: list[int]
    """The row is of another partition or incarnation of the topic."""


class ViewRows:
    """Reads and writes the rows of one view. Not thread-safe.

    `send` and `answers` are a pair: between them the server works, and nothing else may be asked of the store.
    """

    def __init__(self, view: StreamView, place: RowPlace, monotonic_s: Callable[[], float]) -> None:
        self.view = view
        self.encoder = RowEncoder(view, place.project, place.topic)
        self.held = HeldBack(view.publish_every_ms, monotonic_s)
        """Rows that were written without the values Feast reads."""
        self.slices = RowSlices()
        """How many rows to read at a time."""
        self._held_key = partial(held_key, place.project, view.name, place.topic)
        self._store = place.store
        self._cache = RowCache(CACHED_BYTES)
        self._erasures = Erasures(place.project, place.store)
        self._sent_s = 0.0

    def forget(self) -> None:
        """Drops every cached row: the store, or the assignment, may have changed under them."""
        self._cache.clear()
        self._erasures.forget()

    def drop(self, keys: Sequence[bytes]) -> None:
        """Drops some cached rows."""
        for key in keys:
            self._cache.drop(key)

    def load(self, keys: Sequence[bytes]) -> list[StoredRow]:
        """The rows of these keys, cached or read.

        Raises:
            StoreUnavailable: they can't be read; it can be tried again.
        """
        rows = [self._cache.get(key) for key in keys]
        missing = [key for key, row in zip(keys, rows, strict=True) if row is None]
        read: dict[bytes, StoredRow] = {}
        if missing:
            with metrics.READ_SECONDS.labels(self.view.name).time():
                found = self._store.read([(key, self.encoder.state_fields) for key in missing])
            read = {key: StoredRow(*fields) for key, fields in zip(missing, found, strict=True)}
            self.slices.learn(list(read.values()))
        return [read[key] if row is None else row for key, row in zip(keys, rows, strict=True)]

    def send(
        self, keys: Sequence[bytes], stored: Sequence[StoredRow], result: Aggregated, shown: ShownValues | None
    ) -> None:
        """Sends the changed rows. See `RowEncoder.writes`.

        Raises:
            StoreUnavailable: nothing can be said about which rows were written; it can be tried again.
        """
        self._send(keys, stored, result, shown, self.encoder.held_prefix if self.view.publish_every_ms else b"")

    def _send(
        self,
        keys: Sequence[bytes],
        stored: Sequence[StoredRow],
        result: Aggregated,
        shown: ShownValues | None,
        held: bytes,
    ) -> None:
        self._erasures.load()
        self._sent_s = time.perf_counter()
        names = self.encoder.shared_fields if shown else ()
        writes = self.encoder.writes(keys, stored, result, shown, self._erasures.keys)
        self._store.send(writes, names, self.view.expire_ms, self.encoder.shared_by, held)

    def answers(
        self,
        keys: Sequence[bytes],
        result: Aggregated,
        shown: ShownValues | None,
        expired: Callable[[int], bool],
    ) -> NotTaken:
        """Waits for the answers to what was sent; what was taken is kept.

        Args:
            expired: whether the row that an entity's events were folded onto, by the entity's index, had expired.

        Raises:
            StoreUnavailable: as `send`.
            StoreRolledBack: the store holds an older row than it had acknowledged.
        """
        outcomes = self._store.answers()
        metrics.WRITE_SECONDS.labels(self.view.name).observe(time.perf_counter() - self._sent_s)
        changed = result.entities.tolist()
        behind: list[int] = []
        foreign: list[int] = []
        gone: dict[int, StoredRow] = {}
        lost: dict[int, int] = {}
        written: list[int] = []
        for at, (entity, row, expected, outcome) in enumerate(
            zip(changed, result.rows, result.stored_offsets, outcomes, strict=True)
        ):
            if outcome is Outcome.WRITTEN:
                self._cache.put(keys[entity], row)
                written.append(at)
            elif outcome is Outcome.BEHIND or (outcome is Outcome.ROLLED_BACK and expired(entity)):
                self._cache.drop(keys[entity])
                behind.append(entity)
            elif outcome is Outcome.FOREIGN:
                foreign.append(entity)
            else:
                self._cache.drop(keys[entity])
                gone[entity] = row
                if outcome is Outcome.ROLLED_BACK:
                    lost[entity] = expected
        forgotten = self._forgotten(keys, gone)
        if not all(forgotten[entity].covers(expected) for entity, expected in lost.items()):
            raise StoreRolledBack(f"view {self.view.name!r}: a stored row is older than acknowledged")
        if shown is not None:
            chosen = shown.chosen.tolist()
            self.held.written(
                [keys[changed[at]] for at in written if chosen[at]],
                [keys[changed[at]] for at in written if not chosen[at]],
            )
        metrics.ROWS_WRITTEN.labels(self.view.name).inc(len(written))
        metrics.ROWS_REFUSED.labels(self.view.name).inc(len(behind))
        if len(result.duplicates):
            # Those of rows that were ahead, or were forgotten, are judged again; those of other rows are not counted.
            judged = np.isin(result.duplicates, [*behind, *gone, *foreign], invert=True)
            metrics.DUPLICATE_EVENTS.labels(self.view.name).inc(int(judged.sum()))
        return NotTaken(behind, forgotten, foreign)

    def publish(
        self, keys: Sequence[bytes], rows: Sequence[StoredRow], unchanged: Aggregated, shown: ShownValues
    ) -> None:
        """Writes what Feast reads of rows that were written without it.

        A row that has changed since is published by the process that changed it, or is due again here if it was held
        back.

        Args:
            unchanged: the rows as they are.
            shown: the values of all of them.

        Raises:
            StoreUnavailable: as `send`.
        """
        # An earlier process, whose plan held rows back, may have named some, although now none are.
        self._send(keys, rows, unchanged, shown, self.encoder.held_prefix)
        outcomes = self._store.answers()
        self.held.written((key for key, outcome in zip(keys, outcomes, strict=True) if outcome is Outcome.WRITTEN), ())
        for key, outcome in zip(keys, outcomes, strict=True):
            if outcome is not Outcome.WRITTEN:
                self._cache.drop(key)
                self.held.again(key)

    def held_in_store(self, partition: int, cursor: int) -> tuple[int, list[bytes]]:
        """The next cursor, and some of the rows that the store names as held back (see `Store.scan_hash`)."""
        return self._store.scan_hash(self._held_key(partition), cursor)

    def drop_held(self, partition: int, keys: Sequence[bytes]) -> None:
        """Lets the store name these rows no more."""
        if keys:
            self._store.remove_from_hash(self._held_key(partition), keys)

    def _forgotten(self, keys: Sequence[bytes], gone: Mapping[int, StoredRow]) -> dict[int, Erasure]:
        """Which events of entities are forgotten.

        Args:
            gone: by entity, the row that was to be written.
        """
        if not gone:
            return {}
        found = self._erasures.read({keys[entity]: row.head or b"" for entity, row in gone.items()})
        metrics.ROWS_FORGOTTEN.labels(self.view.name).inc(sum(each.at_ms != NEVER for each in found))
        return dict(zip(gone, found, strict=True))
