"""Rows full of tiles, and updates of them, made by the feature processor's own steps."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from benchmarks.layout.row_layouts import Layout
from benchmarks.shared.plans import SLIDE_MS, VIEW, sliding, view_of
from forebay.pipelines.adapters.online_store import RowWrite
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder, feature_field, timestamp_field
from forebay.pipelines.contract.store.values import encode_columns, encode_timestamp
from forebay.pipelines.steps.arrays import Ints
from forebay.pipelines.steps.tile_state.row_codec import ABSENT, StoredRow
from forebay.pipelines.steps.windows.aggregate import ViewAggregator
from forebay.pipelines.steps.windows.fold import Events

INCARNATION = bytes(8)
PARTITION = 0
_SEED = 11
_FIRST_TILE = 1_000_000


class Update(NamedTuple):
    """One new version of every row."""

    stored: list[StoredRow]
    """The rows folded onto."""
    rows: list[StoredRow]
    expected_offset: int
    """The fence of all `stored`; -1 where there are none."""
    values: list[tuple[bytes, ...]]
    """Of the fields Feast reads."""


class RowSet:
    """Rows of one view; every update changes all of them once."""

    def __init__(self, entities: int, tiles: int, windows: int, horizon_ms: int = SLIDE_MS) -> None:
        """Args:
        tiles: of the longest window.
        windows: of eight functions each.
        horizon_ms: the view's scoring horizon; by default one tile is kept beside the window's.
        """
        view = view_of("payments", sliding(tiles, windows))
        self.view = msgspec.structs.replace(view, scoring_horizon_ms=horizon_ms)
        self.keys = [EntityKeyEncoder(self.view.join_keys, "bench")([at]) for at in range(entities)]
        self.shared_fields = [
            timestamp_field(VIEW),
            *(feature_field(VIEW, feature.name) for feature in self.view.features),
        ]
        self._aggregate = ViewAggregator(self.view)
        self._entities = entities
        self._random = np.random.default_rng(_SEED)
        self._tile = _FIRST_TILE + tiles - 1 + horizon_ms // SLIDE_MS
        self._offset = -1
        self._rows: list[StoredRow] = [ABSENT] * entities

    def fill(self) -> Update:
        """An event in every tile that a row keeps: the window's, and those of the horizon before it."""
        tiles = np.arange(_FIRST_TILE, self._tile + 1)
        return self._fold(np.tile(tiles, self._entities), np.repeat(np.arange(self._entities), len(tiles)))

    def stay(self) -> Update:
        """An event in every row's open tile."""
        return self._fold(np.full(self._entities, self._tile), np.arange(self._entities))

    def close(self) -> Update:
        """An event in the tile after: the open one is closed, and the oldest dropped."""
        self._tile += 1
        return self.stay()

    def _fold(self, tile: Ints, entity: Ints) -> Update:
        stored, expected = self._rows, self._offset
        self._offset += 1
        events = Events(entity, tile * SLIDE_MS, {"amount": self._random.random(len(tile))})
        offsets = np.full(len(tile), self._offset, dtype=np.int64)
        partitions = np.full(len(stored), PARTITION, dtype=np.int64)
        result = self._aggregate(stored, events, offsets, INCARNATION, partitions)
        self._rows = result.rows
        values = self._aggregate.values(result, np.ones(len(result.entities), dtype=bool))
        cells = encode_columns(values, [feature.dtype for feature in self.view.features])
        times = map(encode_timestamp, result.last_event_ms.tolist())
        return Update(stored, result.rows, expected, list(zip(times, *cells, strict=True)))


def writes_of(layout: Layout, rows: RowSet, update: Update) -> list[RowWrite]:
    """The update as the store takes it."""
    return [
        RowWrite(key, update.expected_offset, layout.fields(stored, row), values)
        for key, stored, row, values in zip(rows.keys, update.stored, update.rows, update.values, strict=True)
    ]
