"""A batch of events as columns, materialised one column at a time and only when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

import mmh3
import numpy as np
import numpy.typing as npt
import pandas as pd

from pipelines.contract.plan import Column, DataType, Source
from pipelines.steps.arrays import EventIds, Floats, Ints, Texts, objects
from pipelines.steps.decoded import attribute
from pipelines.steps.event_time import to_event_ms
from pipelines.steps.texts import bounded_text

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
        frame: the columns to aggregate, where a view's transform made them; else they come from the events.
        """
        self._source = source
        self._events = events
        self._frame = frame
        self._floats: dict[str, Floats] = {}
        self._identities: dict[str, Floats] = {}
        self._texts: dict[str, Texts] = {}
        self.index = index
        self.event_ms = event_ms

    def __len__(self) -> int:
        return len(self.index)

    def values(self, name: str) -> list[Any]:
        """A column of the source as Python objects, None for null; a transform can't change it."""
        return list(map(attrgetter(attribute(name)), self._events))

    def floats(self, name: str) -> Floats:
        """A numeric column, shape (n,), NaN for null; timestamps in ms since the epoch."""
        if name not in self._floats:
            self._floats[name] = self._as_floats(name)
        return self._floats[name]

    def identities(self, name: str) -> Floats:
        """A column of any type, shape (n,), in which equal values are equal numbers, NaN for null.

        Of a string, 53 bits of its MurmurHash3: what a float64 holds.
        """
        if name not in self._identities:
            self._identities[name] = self._as_identities(name)
        return self._identities[name]

    def ids(self, name: str) -> EventIds:
        """The column that names the events, as the source has it: a transform can't change it."""
        values = self.values(name)
        numbers = map(_hash64, values) if self._declared(name).dtype is DataType.STRING else values
        return EventIds(
            np.array([number or 0 for number in numbers], dtype=np.int64),
            np.array([value is not None and value != "" for value in values], dtype=bool),
        )

    def texts(self, name: str) -> Texts:
        """A column of texts, shape (n,), each as it is kept (see `pipelines.steps.texts`), None for null.

        Raises:
            TypeError: the view's function made something else of it.
        """
        if name not in self._texts:
            values = self.values(name) if self._frame is None else self._frame[name].tolist()
            self._texts[name] = objects([bounded_text(value) for value in values])
        return self._texts[name]

    def _as_identities(self, name: str) -> Floats:
        if self._frame is not None:
            values: Any = self._frame[name]
            if values.dtype != object and not isinstance(values.dtype, pd.StringDtype):
                return self.floats(name)
        elif self._declared(name).dtype.is_numeric:
            return self.floats(name)
        else:
            values = self.values(name)
        return np.array([_identity(value) for value in values], dtype=np.float64)

    def _as_floats(self, name: str) -> Floats:
        if self._frame is not None:
            return _numbers(self._frame[name])
        return np.array(self._plain(self._declared(name)), dtype=np.float64)

    def _declared(self, name: str) -> Column:
        return next(each for each in self._source.columns if each.name == name)

    def _plain(self, column: Column) -> list[Any]:
        values = self.values(column.name)
        if column.dtype is not DataType.UNIX_TIMESTAMP:
            return values
        unit = self._source.unit_of_timestamps
        return [to_event_ms(value, unit) for value in values]

    def columns(self) -> dict[str, list[Any]]:
        """All columns of the source as Python objects, None for null; times in ms since the epoch."""
        return {column.name: self._plain(column) for column in self._source.columns}

    def frame(self) -> pd.DataFrame:
        """All columns of the source; the row labels are 0 ... n-1.

        Types come from the schema alone, so a function sees the same however records were cut into
        batches: nullable whole numbers and booleans are pandas' `Int64` and `boolean`.
        """
        required = self._source.timestamp_field
        return pd.DataFrame(
            {
                column.name: pd.Series(
                    self._plain(column), dtype=_frame_type(column.dtype, column.required or column.name == required)
                )
                for column in self._source.columns
            }
        )

    def select(self, chosen: npt.NDArray[np.bool_]) -> EventBatch:
        """The events where `chosen` (shape (n,)) holds."""
        if chosen.all():
            return self
        kept = np.flatnonzero(chosen)
        return self._take(kept, None if self._frame is None else self._frame.iloc[kept])

    def transformed(self, frame: pd.DataFrame) -> EventBatch:
        """The events that a transform kept, with the columns it returned.

        Args:
            frame: its row labels, ascending, are places in this batch.

        Raises:
            ValueError: they are not.
        """
        kept = frame.index.to_numpy(np.int64)
        if len(kept) and not 0 <= kept[0] <= kept[-1] < len(self):
            raise ValueError("the row labels are not those of the events; keep the index")
        return self._take(kept, frame)

    def _take(self, kept: Ints, frame: pd.DataFrame | None) -> EventBatch:
        events = [self._events[at] for at in kept.tolist()]
        return EventBatch(self._source, events, self.index[kept], self.event_ms[kept], frame)


def _numbers(column: pd.Series[Any]) -> Floats:
    """NaN for null; times, which a view's function may make, in ms since the epoch, without a zone as UTC."""
    if pd.api.types.is_datetime64_any_dtype(column):
        elapsed = pd.to_datetime(column, utc=True) - pd.Timestamp(0, tz="UTC")
        column = elapsed // pd.Timedelta(milliseconds=1)
    elif column.dtype == object:
        column = column.map(milliseconds)
    numbers: Floats = pd.to_numeric(column).to_numpy(np.float64, na_value=np.nan)
    return numbers


def milliseconds(value: Any) -> Any:
    """A time in ms since the epoch, without a zone as UTC; anything else as it is."""
    return to_event_ms(value) if isinstance(value, datetime) else value


def _hash64(text: str | None) -> int:
    return 0 if text is None else mmh3.hash64(text.encode("utf-8", "surrogatepass"))[0]


def _identity(value: Any) -> float:
    if isinstance(value, str):
        return float(mmh3.hash64(value.encode("utf-8", "surrogatepass"), signed=False)[0] >> 11)
    return float("nan") if value is None or value is pd.NA else float(milliseconds(value))


def _frame_type(dtype: DataType, required: bool) -> str:
    if dtype is DataType.STRING:
        return "object"
    if dtype is DataType.BOOL:
        return "bool" if required else "boolean"
    if dtype in (DataType.FLOAT32, DataType.FLOAT64):
        return "float64"
    return "int64" if required else "Int64"


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
