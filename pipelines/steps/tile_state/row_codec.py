"""Stored rows to columns and back: the bytes of `_fb:<view>@<definition>` and `_fc:<view>@<definition>`.

Words are 8 bytes, little endian. A tile is its number (int64) and its accumulators (float64).

    _fb   header (contract.store.row_header), then per group the newest tile
    _fc   per group the number of older tiles (int64); per group the first tile from which on none has been dropped
          (int64); then per group the older tiles, ascending

Sketches have no fixed width. Where a view has some, the payloads of each field's tiles follow at its end, in the same
order: the size of each (4 bytes, little endian) and then its bytes.

Rows of many entities are decoded with one `frombuffer` per group, and encoded from one buffer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from forebay.pipelines.contract.store.row_header import HEADER, HEADER_BYTES, IDENTITY, ROW_FORMAT, Header
from forebay.pipelines.steps.arrays import Floats, Ints, Payloads
from forebay.pipelines.steps.windows.fold import NO_TILE, Tiles, no_tiles
from forebay.pipelines.steps.windows.layout import TileGroup

_WORD = 8
_GROUP_WORDS = 2
"""Words of `_fc` per group before its tiles."""
_SIZE_BYTES = 4


class StoredRow(NamedTuple):
    """The packed state of one entity in one view, as read from the store."""

    head: bytes | None
    closed: bytes | None
    ids: bytes | None = None
    """Events by their ids (see `steps.duplicates`); None where the view's source does not name them."""


ABSENT = StoredRow(None, None)


class RowCodec:
    """Packs and unpacks the rows of one view."""

    def __init__(self, groups: Sequence[TileGroup], fingerprint: str) -> None:
        self._groups = tuple(groups)
        self._fingerprint = bytes.fromhex(fingerprint)
        self._identity = bytes([ROW_FORMAT]) + self._fingerprint
        self._widths = [_WORD * (1 + len(group.accumulators)) for group in groups]
        self._counts_bytes = _WORD * _GROUP_WORDS * len(self._groups)
        self.head_bytes = HEADER_BYTES + sum(self._widths)
        """Without sketches."""
        self._payloads = [len(group.sketches) for group in groups]
        self._has_sketches = any(self._payloads)

    def header(self, row: StoredRow) -> Header | None:
        """Reads the row's header; None if the row is absent or belongs to another definition of the view.

        Raises:
            ValueError: a row of this definition is cut short.
        """
        if row.head is None or row.head[IDENTITY] != self._identity:
            return None
        if not self._fits(row.head, self.head_bytes):
            raise ValueError(f"a stored row of this view has {self.head_bytes} bytes, this one {len(row.head)}")
        return Header.unpack(row.head)

    def unpack(self, rows: Sequence[StoredRow], headers: Sequence[Header | None]) -> list[Tiles]:
        """Unpacks, per group, the tiles of all rows; the entity of a tile is the index of its row.

        Args:
            headers: what `header` says of each row; a row without one has no tiles.

        Raises:
            ValueError: a row's bytes are inconsistent.
        """
        chunks: list[list[bytes]] = [[] for _ in self._groups]
        sizes: list[list[int]] = [[] for _ in self._groups]
        payloads: list[list[bytes]] = [[] for _ in self._groups]
        entities: list[int] = []
        for entity, (row, header) in enumerate(zip(rows, headers, strict=True)):
            if header is not None:
                entities.append(entity)
                counts = self._slice(row, chunks, sizes)
                if self._has_sketches:
                    self._slice_payloads(row, counts, payloads)
        who = np.array(entities, dtype=np.int64)
        return [
            _join(group, chunks[at], payloads[at], np.repeat(who, sizes[at])) if entities else no_tiles(group)
            for at, group in enumerate(self._groups)
        ]

    def whole_from(self, rows: Sequence[StoredRow], headers: Sequence[Header | None]) -> list[Ints]:
        """Finds, per group, the first tile of each row from which on none was dropped, shape (rows,).

        `NO_TILE` where nothing has been dropped, and of a row without a header.
        """
        nothing = np.repeat(np.array([0, NO_TILE], dtype="<i8"), len(self._groups)).tobytes()
        words = b"".join(
            (row.closed[: self._counts_bytes] if header is not None and row.closed else nothing)
            for row, header in zip(rows, headers, strict=True)
        )
        table = np.frombuffer(words, dtype="<i8").reshape(len(rows), _GROUP_WORDS, len(self._groups))
        return [table[:, 1, at] for at in range(len(self._groups))]

    def _slice(self, row: StoredRow, chunks: list[list[bytes]], sizes: list[list[int]]) -> list[int]:
        head, closed = row.head or b"", row.closed or b""
        counts: list[int] = [0] * len(self._groups)
        if closed:
            if len(closed) < self._counts_bytes:
                raise ValueError(f"stored closed tiles take at least {self._counts_bytes} bytes, these {len(closed)}")
            counts = np.frombuffer(closed, dtype="<i8", count=len(self._groups)).tolist()
            self._check_counts(counts, closed)
        head_at, closed_at = HEADER_BYTES, self._counts_bytes
        for at, width in enumerate(self._widths):
            count = counts[at]
            if count:
                chunks[at].append(closed[closed_at : closed_at + count * width])
                closed_at += count * width
            chunks[at].append(head[head_at : head_at + width])
            head_at += width
            sizes[at].append(count + 1)
        return counts

    def _slice_payloads(self, row: StoredRow, counts: Sequence[int], payloads: list[list[bytes]]) -> None:
        closed = iter(self._cut(row.closed or b"", self._closed_bytes(counts) if row.closed else 0, counts))
        newest = iter(self._cut(row.head or b"", self.head_bytes, [1] * len(counts)))
        for at, each in enumerate(self._payloads):
            payloads[at] += [next(closed) for _ in range(counts[at] * each)]
            payloads[at] += [next(newest) for _ in range(each)]

    def _cut(self, field: bytes, start: int, tiles: Sequence[int]) -> list[bytes]:
        """Cuts out the payloads behind the tiles of a field."""
        found = []
        for _ in range(sum(count * each for count, each in zip(tiles, self._payloads, strict=True))):
            size = int.from_bytes(field[start : start + _SIZE_BYTES], "little")
            found.append(field[start + _SIZE_BYTES : start + _SIZE_BYTES + size])
            start += _SIZE_BYTES + size
        if start != len(field):
            raise ValueError(f"stored sketches end at byte {start} of {len(field)} bytes")
        return found

    def _check_counts(self, counts: Sequence[int], closed: bytes) -> None:
        said = self._closed_bytes(counts)
        if min(counts) < 0 or not self._fits(closed, said):
            raise ValueError(f"stored closed tiles take {len(closed)} bytes, their counts {counts} say {said}")

    def _fits(self, field: bytes, tiles_bytes: int) -> bool:
        """Tells whether a field has the bytes of its tiles, and more only where sketches may follow."""
        return len(field) == tiles_bytes or (self._has_sketches and len(field) > tiles_bytes)

    def _closed_bytes(self, counts: Sequence[int]) -> int:
        """Counts the bytes of the closed tiles, without sketches."""
        return self._counts_bytes + sum(count * width for count, width in zip(counts, self._widths, strict=True))

    def pack(self, tiles: Sequence[Tiles], whole_from: Sequence[Ints], headers: Sequence[Header]) -> list[StoredRow]:
        """Packs the rows of entities 0 ... n-1; every entity has at least one tile in every group.

        Args:
            tiles: per group.
            whole_from: per group, shape (n,), as the method of that name returns it.
        """
        buffers, starts, ends = [], [], []
        entities = np.arange(len(headers))
        for each in tiles:
            words = np.empty((len(each.tile), 1 + each.values.shape[1]), dtype="<f8")
            words[:, 0] = each.tile.astype("<i8").view("<f8")
            words[:, 1:] = each.values
            buffers.append(words.tobytes())
            starts.append(np.searchsorted(each.entity, entities, "left").tolist())
            ends.append(np.searchsorted(each.entity, entities, "right").tolist())
        closed = np.empty((len(headers), _GROUP_WORDS, len(self._groups)), dtype="<i8")
        closed[:, 0] = np.array(ends, dtype="<i8").T - np.array(starts, dtype="<i8").T - 1
        closed[:, 1] = np.array(whole_from, dtype="<i8").T
        counts = closed.tobytes()
        rows = []
        for entity, header in enumerate(headers):
            head = [HEADER.pack(*header)]
            older = [counts[entity * self._counts_bytes : (entity + 1) * self._counts_bytes]]
            for at, width in enumerate(self._widths):
                start, newest, end = starts[at][entity], ends[at][entity] - 1, ends[at][entity]
                head.append(buffers[at][newest * width : end * width])
                older.append(buffers[at][start * width : newest * width])
            if self._has_sketches:
                for at, each in enumerate(tiles):
                    start, end = starts[at][entity], ends[at][entity]
                    older += _framed(each.sketches[start : end - 1])
                    head += _framed(each.sketches[end - 1 : end])
            rows.append(StoredRow(b"".join(head), b"".join(older)))
        return rows

    def new_header(self, incarnation: bytes, partition: int, offset: int, last_event_ms: int) -> Header:
        """Makes a header of this view's definition."""
        return Header(ROW_FORMAT, self._fingerprint, incarnation, partition, offset, last_event_ms)


def _framed(payloads: Payloads) -> list[bytes]:
    return [part for each in payloads.ravel().tolist() for part in (len(each).to_bytes(_SIZE_BYTES, "little"), each)]


def _join(group: TileGroup, chunks: Sequence[bytes], payloads: Sequence[bytes], entity: Ints) -> Tiles:
    width = 1 + len(group.accumulators)
    data = b"".join(chunks)
    if len(data) != len(entity) * width * _WORD:
        raise ValueError(
            f"stored tiles of slide {group.slide_ms} ms take {len(data)} bytes, "
            f"their counts say {len(entity) * width * _WORD}"
        )
    words: Floats = np.frombuffer(data, dtype="<f8").reshape(-1, width)
    tile: Ints = np.frombuffer(data, dtype="<i8").reshape(-1, width)[:, 0]
    sketches = np.empty((len(entity), len(group.sketches)), dtype=object)
    sketches.ravel()[:] = payloads
    return Tiles(entity, tile, words[:, 1:], sketches)
