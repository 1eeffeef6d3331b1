"""A batch of events as columns, materialised one column at a time and only when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.types import Column, DataType
from forebay.pipelines.steps.arrays import Floats, Ints, Texts, WholeNumbers, objects
from forebay.pipelines.steps.decode.event_type import attribute
from forebay.pipelines.steps.event_time import to_event_ms
from forebay.pipelines.steps.identities import float_identities, identities_of, text_identity
from forebay.pipelines.steps.tile_state.texts import bounded_text

if TYPE_CHECKING:
    import pandas as pd

    from forebay.pipelines.steps.made_columns import MadeColumns


class EventBatch:
    """Valid events of one partition, in arrival order."""

    def __init__(
        self,
        source: Source,
        events: Sequence[Any],
        index: Ints,
        event_ms: Ints,
        made: MadeColumns | None = None,
    ) -> None:
        """Args:
        events: n decoded events.
        index: shape (n,), the place of each event among the records read.
        event_ms: shape (n,).
        made: the columns to aggregate, where a view's transform made them; else they come from the events.
        """
        self._source = source
        self._events = events
        self._made = made
        self._floats: dict[str, Floats] = {}
        self._whole: dict[str, WholeNumbers] = {}
        self._identities: dict[str, WholeNumbers] = {}
        self._texts: dict[str, Texts] = {}
        self.index = index
        self.event_ms = event_ms

    def __len__(self) -> int:
        return len(self.index)

    def values(self, name: str) -> list[Any]:
        """Returns a column of the source as Python objects, None for null; a transform can't change it."""
        return list(map(attrgetter(attribute(name)), self._events))

    def floats(self, name: str) -> Floats:
        """Returns a numeric column, shape (n,), NaN for null; timestamps in ms since the epoch."""
        if name not in self._floats:
            self._floats[name] = self._as_floats(name)
        return self._floats[name]

    def whole(self, name: str) -> WholeNumbers:
        """Returns a column of whole numbers, exact over all 64 bits.

        Raises:
            TypeError: the view's function made something else of it.
            ValueError: a value is beyond 64 bits.
        """
        if name not in self._whole:
            values = self.values(name) if self._made is None else self._made.whole(name)
            known = np.array([value is not None for value in values], dtype=bool)
            self._whole[name] = WholeNumbers(np.array([value or 0 for value in values], dtype=np.int64), known)
        return self._whole[name]

    def identities(self, name: str) -> WholeNumbers:
        """Returns a column of any type in which equal values are equal numbers.

        Whole numbers are their own; of other floats it is their bits, of texts 64 bits of their MurmurHash3.
        """
        if name not in self._identities:
            self._identities[name] = self._as_identities(name)
        return self._identities[name]

    def ids(self, name: str) -> WholeNumbers:
        """Returns the column that names the events, as the source has it: a transform can't change it.

        Whole numbers are their own, of texts it is 64 bits of their MurmurHash3. Null and an empty text are no id.
        """
        values = self.values(name)
        numbers = map(text_identity, values) if self._declared(name).dtype is DataType.STRING else values
        return WholeNumbers(
            np.array([number or 0 for number in numbers], dtype=np.int64),
            np.array([value is not None and value != "" for value in values], dtype=bool),
        )

    def texts(self, name: str) -> Texts:
        """Returns a column of texts, shape (n,), each as it is kept (see `steps.tile_state.texts`), None for null.

        Raises:
            TypeError: the view's function made something else of it.
        """
        if name not in self._texts:
            values = self.values(name) if self._made is None else self._made.values(name)
            self._texts[name] = objects([bounded_text(value) for value in values])
        return self._texts[name]

    def _as_identities(self, name: str) -> WholeNumbers:
        if self._made is None and self._declared(name).dtype in _FLOATING:
            return float_identities(self.floats(name))
        values = self._plain(self._declared(name)) if self._made is None else self._made.plain(name)
        return identities_of(values)

    def _as_floats(self, name: str) -> Floats:
        if self._made is not None:
            return self._made.floats(name)
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
        """Returns all columns of the source as Python objects, None for null; times in ms since the epoch."""
        return {column.name: self._plain(column) for column in self._source.columns}

    def frame(self) -> pd.DataFrame:
        """Returns all columns of the source; the row labels are 0 ... n-1.

        Types come from the schema alone, so a function sees the same however records were cut into
        batches: nullable whole numbers and booleans are pandas' `Int64` and `boolean`.
        """
        import pandas as pd  # here, because it takes 70 MB, and only functions of users need it

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
        """Returns the events where `chosen` (shape (n,)) holds."""
        if chosen.all():
            return self
        kept = np.flatnonzero(chosen)
        return self._take(kept, None if self._made is None else self._made.take(kept))

    def transformed(self, made: MadeColumns) -> EventBatch:
        """Returns the events that a transform kept, with the columns it returned.

        Args:
            made: its row labels are the places, ascending, of the kept events in this batch.

        Raises:
            ValueError: a label is not a place in this batch.
        """
        kept = made.labels
        if len(kept) and not 0 <= kept[0] <= kept[-1] < len(self):
            raise ValueError("the row labels are not those of the events; keep the index")
        return self._take(kept, made)

    def _take(self, kept: Ints, made: MadeColumns | None) -> EventBatch:
        events = [self._events[at] for at in kept.tolist()]
        return EventBatch(self._source, events, self.index[kept], self.event_ms[kept], made)


_FLOATING = (DataType.FLOAT32, DataType.FLOAT64)


def _frame_type(dtype: DataType, required: bool) -> str:
    if dtype is DataType.STRING:
        return "object"
    if dtype is DataType.BOOL:
        return "bool" if required else "boolean"
    if dtype in _FLOATING:
        return "float64"
    return "int64" if required else "Int64"
