"""Stored rows to columns and back: the bytes of `_fb:<view>@<definition>` and `_fc:<view>@<definition>`.

Words are 8 bytes, little endian. A tile is its number (int64) and its accumulators (float64).

    _fb   header (contract.store.row_header), then per group the newest tile
    _fc   per group the number of older tiles (int64); per group the first tile from which on none has been dropped
          (int64); then per group the older tiles, ascending

Sketches have no fixed width. Where a view has some, the payloads of each field's tiles follow at its end, in the same
order: the size of each (4 bytes, little endian) and then its bytes.

Rows of many entities are decoded with one `frombuffer` (see `stored_words`), and encoded from one buffer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from forebay.pipelines.contract.store.row_header import HEADER, HEADER_BYTES, IDENTITY, ROW_FORMAT, Header
from forebay.pipelines.steps.arrays import Ints, Payloads, objects
from forebay.pipelines.steps.tile_state.stored_words import WORD, StoredWords, TileShape
from forebay.pipelines.steps.windows.flat import FlatTiles, flat_sketches
from forebay.pipelines.steps.windows.fold import NO_TILE, Tiles
from forebay.pipelines.steps.windows.layout import TileGroup

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


class _Read(NamedTuple):
    """The tiles of the rows that have a header, p of them."""

    words: StoredWords
    entity: Ints
    """Shape (p,): which of all rows each is."""
    tiles: Ints
    """Shape (p, groups): numbers of tiles."""
    sketches: list[Payloads]
    """Per group, those of its tiles by row and then by time."""


class RowCodec:
    """Packs and unpacks the rows of one view."""

    def __init__(self, groups: Sequence[TileGroup], fingerprint: str) -> None:
        self._groups = tuple(groups)
        self._fingerprint = bytes.fromhex(fingerprint)
        self._identity = bytes([ROW_FORMAT]) + self._fingerprint
        self._shape = TileShape.of([1 + len(group.accumulators) for group in groups])
        self._words = [np.arange(1, 1 + len(group.accumulators)) for group in groups]
        self._slide_ms = np.array([group.slide_ms for group in groups], dtype=np.int64)
        self._widths = [WORD * (1 + len(group.accumulators)) for group in groups]
        self._counts_bytes = WORD * _GROUP_WORDS * len(self._groups)
        self._none_closed = np.repeat(np.array([0, NO_TILE], dtype="<i8"), len(self._groups)).tobytes()
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
        size = len(row.head)
        # More bytes than those of its tiles only where sketches may follow.
        if size < self.head_bytes or (size > self.head_bytes and not self._has_sketches):
            raise ValueError(f"a stored row of this view has {self.head_bytes} bytes, this one {size}")
        return Header.unpack(row.head)

    def unpack(self, rows: Sequence[StoredRow], headers: Sequence[Header | None]) -> list[Tiles]:
        """Unpacks, per group, the tiles of all rows; the entity of a tile is the index of its row.

        Args:
            headers: what `header` says of each row; a row without one has no tiles.

        Raises:
            ValueError: a row's bytes are inconsistent.
        """
        stored, entity, tiles, sketches = self._read(rows, headers)
        first, group = stored.places()
        found = []
        for at, words in enumerate(self._words):
            own = first[group == at]
            values = stored.words.take(own[:, np.newaxis] + words, mode="clip")
            found.append(Tiles(entity.repeat(tiles[:, at]), stored.whole[own], values, sketches[at]))
        return found

    def flat(self, rows: Sequence[StoredRow], headers: Sequence[Header | None]) -> FlatTiles:
        """Unpacks the tiles of all rows side by side, as `WindowEvaluator.flat` takes them.

        Raises:
            ValueError: a row's bytes are inconsistent.
        """
        stored, entity, tiles, sketches = self._read(rows, headers)
        first, group = stored.places()
        payloads = np.empty((len(first), 0), dtype=object)
        if self._has_sketches:
            group_by_group = np.concatenate([np.repeat(entity, count) for count in tiles.T[::-1]])
            payloads = flat_sketches(self._groups, sketches)[np.argsort(group_by_group, kind="stable")]
        start_ms = stored.whole[first] * self._slide_ms[group]
        return FlatTiles(np.repeat(entity, tiles.sum(axis=1)), group, start_ms, first + 1, stored.words, payloads)

    def whole_from(self, rows: Sequence[StoredRow], headers: Sequence[Header | None]) -> list[Ints]:
        """Finds, per group, the first tile of each row from which on none was dropped, shape (rows,).

        `NO_TILE` where nothing has been dropped, and of a row without a header.
        """
        closed = [row.closed if header is not None else None for row, header in zip(rows, headers, strict=True)]
        return list(self._counts(closed)[:, 1].T)

    def _read(self, rows: Sequence[StoredRow], headers: Sequence[Header | None]) -> _Read:
        present = [at for at, header in enumerate(headers) if header is not None]
        heads = [rows[at].head or b"" for at in present]
        closed = [rows[at].closed or b"" for at in present]
        counts = self._counts(closed)[:, 0]
        ends = self._closed_ends(closed, counts)
        stored = StoredWords(
            self._shape,
            [head[HEADER_BYTES : self.head_bytes] for head in heads],
            [field[self._counts_bytes : end] for field, end in zip(closed, ends, strict=True)],
            counts,
        )
        tiles = counts + 1
        sketches = (
            self._sketches(heads, closed, counts, ends)
            if self._has_sketches
            else [np.empty((size, 0), dtype=object) for size in tiles.sum(axis=0).tolist()]
        )
        return _Read(stored, np.array(present, dtype=np.int64), tiles, sketches)

    def _counts(self, closed: Sequence[bytes | None]) -> Ints:
        """Reads the number of closed tiles and the first tile from which on none was dropped, (rows, 2, groups).

        Raises:
            ValueError: a field is cut short.
        """
        fields = [field[: self._counts_bytes] if field else self._none_closed for field in closed]
        for field in fields:
            if len(field) < self._counts_bytes:
                raise ValueError(f"stored closed tiles take at least {self._counts_bytes} bytes, these {len(field)}")
        return np.frombuffer(b"".join(fields), dtype="<i8").reshape(-1, _GROUP_WORDS, len(self._groups))

    def _closed_ends(self, closed: Sequence[bytes], counts: Ints) -> list[int]:
        """Computes where the closed tiles of each row end in their field.

        Raises:
            ValueError: the field has other bytes than its counts say.
        """
        sizes = np.array([len(field) for field in closed], dtype=np.int64)
        ends = np.where(sizes > 0, self._counts_bytes + counts @ (self._shape.words * WORD), 0)
        # A count above the size in bytes is damage, and may have overflowed `ends`.
        wrong = ((counts < 0) | (counts > sizes[:, np.newaxis])).any(axis=1)
        wrong |= ends > sizes if self._has_sketches else ends != sizes
        if wrong.any():
            at = int(wrong.argmax())
            raise ValueError(
                f"stored closed tiles take {sizes[at]} bytes, their counts {counts[at].tolist()} say {ends[at]}"
            )
        return list(ends.tolist())

    def _sketches(
        self, heads: Sequence[bytes], closed: Sequence[bytes], counts: Ints, ends: Sequence[int]
    ) -> list[Payloads]:
        """Unpacks, per group, the sketches of the tiles of all rows, by row and then by time."""
        found: list[list[bytes]] = [[] for _ in self._groups]
        for head, field, count, end in zip(heads, closed, counts.tolist(), ends, strict=True):
            older = iter(self._cut(field, end, count))
            newest = iter(self._cut(head, self.head_bytes, [1] * len(count)))
            for at, each in enumerate(self._payloads):
                found[at] += [next(older) for _ in range(count[at] * each)]
                found[at] += [next(newest) for _ in range(each)]
        tiles = (counts + 1).sum(axis=0).tolist()
        return [
            objects(each).reshape(shape)
            for each, shape in zip(found, zip(tiles, self._payloads, strict=True), strict=True)
        ]

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
