"""Duplicates: events that their row contains already, known by the ids their source gives them.

An event is a duplicate where an earlier event of its entity, one that was counted, has the same id, is at most the
window older than the newest of all that were counted and the event itself, and is among the last `MAX_EVENT_IDS` that
were counted and have an id. What is not counted is not remembered and makes nothing older: the judgement is a function
of the entity's records in their order, however they are cut into batches and however often they are read again.

Bytes of `_fi:<view>@<definition>`: per remembered event, in the order they were counted, its id (int64) and its event
time (int64, ms since the epoch), little endian. They begin with the first that a duplicate could still be known by.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from forebay.pipelines.contract.plan.types import MAX_EVENT_IDS
from forebay.pipelines.contract.store.row_header import Header
from forebay.pipelines.steps.arrays import Ints, WholeNumbers
from forebay.pipelines.steps.tile_state.row_codec import StoredRow
from forebay.pipelines.steps.windows.fold import Events

Bools = npt.NDArray[np.bool_]

NEVER_MS = int(np.iinfo(np.int64).min)
"""Before every event."""

_EVENT_BYTES = 16
_SPREAD = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))
"""Odd, so that different ids of one entity stay different."""
_FIRST_BITS = np.uint64(48)
"""Shifted by so many, 16 bits are left."""


class Remembered(NamedTuple):
    """Counted events with an id, sorted by entity, those of an entity in the order they were counted."""

    entity: Ints
    """Shape (r,): index of the entity within the batch."""
    ids: Ints
    """Shape (r,), see `EventBatch.ids`."""
    event_ms: Ints
    """Shape (r,)."""

    def take(self, chosen: Bools) -> Remembered:
        """Takes some of the events."""
        return Remembered(self.entity[chosen], self.ids[chosen], self.event_ms[chosen])


_NOTHING = Remembered(*(np.empty(0, np.int64) for _ in range(3)))


class IdMemory:
    """What a view remembers of the events it has counted. Pure: it keeps nothing itself."""

    def __init__(self, window_ms: int, most: int = MAX_EVENT_IDS) -> None:
        """Args:
        most: events of one entity that are remembered.
        """
        self._window_ms = window_ms
        self._most = most

    def unpack(self, rows: Sequence[StoredRow], headers: Sequence[Header | None]) -> Remembered:
        """Unpacks the remembered events of all rows; the entity of an event is the index of its row.

        Raises:
            ValueError: a row with a header has no ids, or such as were cut short.
        """
        fields = [b"" if header is None else _whole(row.ids) for row, header in zip(rows, headers, strict=True)]
        words = np.frombuffer(b"".join(fields), dtype="<i8").reshape(-1, 2)
        counts = np.array([len(field) // _EVENT_BYTES for field in fields], dtype=np.int64)
        entity = np.repeat(np.arange(len(fields)), counts)
        return Remembered(entity, words[:, 0], words[:, 1])

    def duplicates(self, remembered: Remembered, newest_ms: Ints, events: Events) -> Bools:
        """Marks the events that are duplicates, shape (n,).

        Args:
            newest_ms: shape (entities,), event time of the newest event counted; `NEVER_MS` where there is none.
            events: n events in arrival order, with ids.
        """
        ids = _ids(events)
        entity = np.concatenate((remembered.entity, events.entity))
        values = np.concatenate((remembered.ids, ids.values))
        has_id = np.concatenate((np.ones(len(remembered.ids), dtype=bool), ids.known))
        repeats = _repeated(entity, values, has_id)
        out = np.zeros(len(ids.values), dtype=bool)
        if repeats.any():
            event_ms = np.concatenate((remembered.event_ms, events.event_ms))
            sequence = _Sequence.of(entity, values, event_ms, has_id, repeats)
            found = self._judge(sequence, newest_ms, len(remembered.ids))
            out[found] = True
        return out

    def first_ones(self, events: Events, entities: int) -> Bools:
        """Marks the events of a whole history that are no duplicates, shape (n,)."""
        return ~self.duplicates(_NOTHING, np.full(entities, NEVER_MS), events)

    def _judge(self, sequence: _Sequence, newest_ms: Ints, remembered: int) -> list[int]:
        """Finds the duplicates by index; only where an id repeats are events judged one after another.

        Args:
            remembered: so many of the sequence's `at` are not events, but what is remembered.
        """
        at = np.flatnonzero(sequence.repeats)
        columns = (sequence.at, sequence.entity, sequence.ids, sequence.event_ms, sequence.place)
        newest = np.maximum(sequence.newest_before(), newest_ms[sequence.entity])
        counted: dict[tuple[int, int], tuple[int, int]] = {}
        newest_counted: dict[int, int] = {}
        left_out: defaultdict[int, int] = defaultdict(int)
        found = []
        for index, who, value, event_ms, place, others_ms in zip(
            *(column[at].tolist() for column in columns), newest[at].tolist(), strict=True
        ):
            rank = place - left_out[who]
            if index >= remembered:
                newest_here = max(others_ms, event_ms, newest_counted.get(who, NEVER_MS))
                first_ms, first_rank = counted.get((who, value), (NEVER_MS, 0))
                if first_ms >= newest_here - self._window_ms and rank - first_rank <= self._most:
                    left_out[who] += 1
                    found.append(index - remembered)
                    continue
                newest_counted[who] = newest_here
            counted[who, value] = (event_ms, rank)
        return found

    def pack(self, remembered: Remembered, counted: Events, entities: Ints, newest_ms: Ints) -> list[bytes]:
        """Packs the ids that the rows of some entities remember after a batch.

        Args:
            remembered: what the rows remembered before the batch.
            counted: the batch's events of these entities that are no duplicates.
            entities: shape (m,), ascending.
            newest_ms: shape (m,), time of the newest event that each entity's row contains.

        Returns:
            The bytes of each entity's ids, in the order of `entities`.
        """
        remembered = remembered.take(np.isin(remembered.entity, entities))
        ids = _ids(counted)
        entity = np.concatenate((remembered.entity, counted.entity[ids.known]))
        order = np.argsort(entity, kind="stable")
        words = np.empty((len(order), 2), dtype="<i8")
        words[:, 0] = np.concatenate((remembered.ids, ids.values[ids.known]))[order]
        words[:, 1] = np.concatenate((remembered.event_ms, counted.event_ms[ids.known]))[order]
        local = np.searchsorted(entities, entity[order])
        sizes = np.bincount(local, minlength=len(entities))
        ends = np.cumsum(sizes)
        alive = np.flatnonzero(words[:, 1] >= (newest_ms - self._window_ms)[local])
        # The bound comes first: an id that it cuts off must not keep later ones alive.
        first_alive = np.searchsorted(alive, ends - np.minimum(sizes, self._most))
        first = np.minimum(np.append(alive, len(words))[first_alive], ends)
        data = words.tobytes()
        bounds = zip((first * _EVENT_BYTES).tolist(), (ends * _EVENT_BYTES).tolist(), strict=True)
        return [data[start:end] for start, end in bounds]


class _Sequence(NamedTuple):
    """What was remembered and the events after it, of the entities with a repeated id, sorted by entity."""

    at: Ints
    """Shape (s,): index among all that was remembered and all events."""
    entity: Ints
    """Shape (s,), ascending; those of one entity in their order."""
    ids: Ints
    event_ms: Ints
    place: Ints
    """Shape (s,): how many with an id there are up to each, duplicates included."""
    repeats: Bools
    """Shape (s,): whether the id is there twice; all others are counted, whatever came before."""

    @classmethod
    def of(cls, entity: Ints, ids: Ints, event_ms: Ints, has_id: Bools, repeats: Bools) -> _Sequence:
        """Makes the sequence of the entities in which an id repeats."""
        involved = np.zeros(int(entity.max()) + 1, dtype=bool)
        involved[entity[repeats]] = True
        chosen = np.flatnonzero(involved[entity])
        at = chosen[np.argsort(entity[chosen], kind="stable")]
        return cls(at, entity[at], ids[at], event_ms[at], np.cumsum(has_id[at]), repeats[at])

    def newest_before(self) -> Ints:
        """Finds, per item, the newest event time of its entity so far among the events that do not repeat; shape (s,).

        Where there is none before it, a time that is no later than any in the sequence.
        """
        lowest = self.event_ms.min()
        span = self.event_ms.max() - lowest + 1
        certain_ms = np.where(self.repeats, lowest, self.event_ms)
        starts = self.entity * span - lowest
        newest: Ints = np.maximum.accumulate(starts + certain_ms) - starts
        return newest


def _repeated(entity: Ints, ids: Ints, has_id: Bools) -> Bools:
    """Marks events that share entity and id with another. It compares hashes, so it may mark one that does not."""
    keys = entity.astype(np.uint64) * _SPREAD[0] ^ ids.astype(np.uint64) * _SPREAD[1]
    ordered = np.sort(keys[has_id])
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    repeated = np.zeros(len(keys), dtype=bool)
    if len(twice):
        # Few ids repeat: comparing their first bits spares most of the others the search.
        marked = np.zeros(1 << 16, dtype=bool)
        marked[twice >> _FIRST_BITS] = True
        at = np.flatnonzero(marked[keys >> _FIRST_BITS] & has_id)
        repeated[at] = twice[np.searchsorted(twice, keys[at]).clip(max=len(twice) - 1)] == keys[at]
    return repeated


def _whole(field: bytes | None) -> bytes:
    if field is None or len(field) % _EVENT_BYTES:
        found = "none" if field is None else f"{len(field)} bytes"
        raise ValueError(f"a stored row of this view has ids of {_EVENT_BYTES} bytes each, this one {found}")
    return field


def _ids(events: Events) -> WholeNumbers:
    if events.ids is None:
        raise ValueError("events without ids can't be told from duplicates")
    return events.ids
