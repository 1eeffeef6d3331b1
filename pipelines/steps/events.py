"""A batch of events as columns, materialised one column at a time and only when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipelines.contract.plan import DataType, Source
from pipelines.steps.decode import to_event_ms
from pipelines.steps.tiles import Floats, Ints

Objects = npt.NDArray[np.object_]


class EventBatch:
    """Valid events of one partition, in arrival order."""

    def __init__(
        self,
        source: Source,
        events: Sequence[Any],
        index: Ints,
        event_ms: Ints,
        frame: pd.DataFrame | None = None,
    ) -> None:
        """Args:
        events: n decoded events.
        index: shape (n,), the place of each event among the records read.
        event_ms: shape (n,).
        frame: the columns, where a view's transform made them; else they come from the events.
        """
        self._source = source
        self._events = events
        self._frame = frame
        self._floats: dict[str, Floats] = {}
        self.index = index
        self.event_ms = event_ms

    def __len__(self) -> int:
        return len(self.index)

    def values(self, name: str) -> list[Any]:
        """A column as Python objects, None for null."""
        if self._frame is not None:
            return [None if value is pd.NA or value != value else value for value in self._frame[name]]
        return list(map(attrgetter(name), self._events))

    def floats(self, name: str) -> Floats:
        """A numeric column, shape (n,), NaN for null; timestamps in ms since the epoch."""
        if name not in self._floats:
            self._floats[name] = self._as_floats(name)
        return self._floats[name]

    def _as_floats(self, name: str) -> Floats:
        if self._frame is not None:
            column: Floats = pd.to_numeric(self._frame[name]).to_numpy(np.float64, na_value=np.nan)
            return column
        values = self.values(name)
        if self._dtype(name) is DataType.UNIX_TIMESTAMP:
            values = [to_event_ms(value) for value in values]
        return np.array(values, dtype=np.float64)

    def _dtype(self, name: str) -> DataType:
        return next(column.dtype for column in self._source.columns if column.name == name)

    def frame(self) -> pd.DataFrame:
        """All columns of the source, times in ms since the epoch; the row labels are 0 ... n-1."""
        columns = {column.name: self.values(column.name) for column in self._source.columns}
        for column in self._source.columns:
            if column.dtype is DataType.UNIX_TIMESTAMP:
                columns[column.name] = [to_event_ms(value) for value in columns[column.name]]
        return pd.DataFrame(columns)

    def select(self, chosen: npt.NDArray[np.bool_]) -> EventBatch:
        """The events where `chosen` (shape (n,)) holds."""
        if chosen.all():
            return self
        kept = np.flatnonzero(chosen)
        frame = None if self._frame is None else self._frame.iloc[kept]
        return EventBatch(
            self._source,
            [self._events[i] for i in kept.tolist()],
            self.index[kept],
            self.event_ms[kept],
            frame,
        )

    def transformed(self, frame: pd.DataFrame) -> EventBatch:
        """The events that a transform kept (its row labels), with the columns it returned."""
        kept = frame.index.to_numpy(np.int64)
        return EventBatch(
            self._source,
            [self._events[i] for i in kept.tolist()],
            self.index[kept],
            self.event_ms[kept],
            frame,
        )


class Entities(NamedTuple):
    """The distinct entities of a batch."""

    codes: Ints
    """Shape (n,): index into `values` per event; -1 where a join key is null."""
    values: list[tuple[Any, ...]]
    """Join key values per entity, in the order of the view's join keys."""


def distinct_entities(columns: Sequence[Sequence[Any]]) -> Entities:
    """Numbers the distinct combinations of join key values, in order of first appearance."""
    first, uniques = pd.factorize(np.array(columns[0], dtype=object))
    if len(columns) == 1:
        return Entities(first.astype(np.int64), [(value,) for value in uniques.tolist()])
    codes: list[int] = []
    known: dict[tuple[Any, ...], int] = {}
    values: list[tuple[Any, ...]] = []
    for combination in zip(*columns, strict=True):
        if None in combination:
            codes.append(-1)
            continue
        code = known.setdefault(combination, len(values))
        if code == len(values):
            values.append(combination)
        codes.append(code)
    return Entities(np.array(codes, dtype=np.int64), values)
