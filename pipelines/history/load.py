"""Reads history: one Parquet file per topic, with the columns of the topic's events. What is left out is counted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np

from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.types import Column, DataType
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.contract.store.values import WHOLE_LIMITS
from forebay.pipelines.errors import DecodeError, RecordError
from forebay.pipelines.history.forgotten import ForgottenEntities
from forebay.pipelines.history.left_out import DEFAULT_MAX_SHARE, LeftOut
from forebay.pipelines.history.parquet_columns import HistoryError, check_columns, open_parquet, read_columns
from forebay.pipelines.steps.arrays import Ints
from forebay.pipelines.steps.decode.decoder import event_type
from forebay.pipelines.steps.decode.event_type import float_or_null
from forebay.pipelines.steps.events import EventBatch
from forebay.pipelines.steps.transform import transform_each, view_transform
from forebay.pipelines.steps.validate import Validator

POSITION_COLUMNS = ("source_partition", "source_offset")
"""Columns of a file of history beside those of its schema: the position of the event's record in its topic."""

_ONE_FILE = "history is one Parquet file per topic"


class History:
    """A folder of history. Events that the stream would refuse are left out, unless they are too many."""

    def __init__(
        self, folder: Path, max_left_out: float = DEFAULT_MAX_SHARE, forgotten: ForgottenEntities | None = None
    ) -> None:
        """Args:
        max_left_out: a larger share of events that can't be used is an error; 1: none is.
        forgotten: entities whose events are left out; None: nobody was forgotten.
        """
        self.folder = folder
        self.forgotten: dict[str, int] = {}
        """How many events of forgotten entities were left out until now, by topic, or by topic and view."""
        self.left_out: dict[str, LeftOut] = {}
        """What was left out until now, by topic, or by topic and view where the view's function failed."""
        self._max_left_out = max_left_out
        self._forgotten = forgotten

    def path(self, source: Source) -> Path:
        """Returns where the history of a topic is expected."""
        return self.folder / f"{source.topic}.parquet"

    def count(self, source: Source) -> int:
        """Returns how many events the history of a topic has, usable or not.

        Raises:
            HistoryError: the file is missing, or lacks a column of the schema.
        """
        path = self.path(source)
        with open_parquet(path, _ONE_FILE) as file:
            check_columns(file, [column.name for column in source.columns], path)
            return int(file.metadata.num_rows)

    def events(self, source: Source, join_keys: Iterable[str] = ()) -> EventBatch:
        """Reads the usable events of a topic, ordered by event time (stable); `index` is their row in the file.

        An event is left out if any entity that it names was forgotten.

        Args:
            join_keys: columns that name entities, as for `Validator`.

        Raises:
            HistoryError: the file is missing or does not fit the schema, or too many events can't be used.
        """
        names = {column.name for column in source.columns}
        return self._without_forgotten(source.topic, self._usable(source, join_keys), names)

    def _usable(self, source: Source, join_keys: Iterable[str]) -> EventBatch:
        types = {column.name: column.dtype for column in source.columns}
        columns = read_columns(self.path(source), types, _ONE_FILE)
        errors: dict[int, RecordError] = {}
        for column in source.columns:
            errors |= _undecodable(column, columns[column.name], source.topic)
        make = event_type("Event", source.columns)
        events = [
            None if row in errors else make(*values) for row, values in enumerate(zip(*columns.values(), strict=True))
        ]
        batch, invalid = Validator(source, join_keys)(events)
        self._count(source.topic, len(events), errors | invalid)
        by_time = np.argsort(batch.event_ms, kind="stable")
        rows = batch.index[by_time]
        return EventBatch(source, [events[row] for row in rows.tolist()], rows, batch.event_ms[by_time])

    def positions(self, source: Source, rows: Ints) -> dict[str, list[int | None]]:
        """Returns the partition and offset of each event, by `POSITION_COLUMNS`; None where the file has none.

        Args:
            rows: shape (n,), rows of the file.

        Raises:
            HistoryError: they are no whole numbers.
        """
        path = self.path(source)
        with open_parquet(path, _ONE_FILE) as file:
            known = [name for name in POSITION_COLUMNS if name in file.schema_arrow.names]
        found = read_columns(path, dict.fromkeys(known, DataType.INT64), _ONE_FILE)
        return {name: [found[name][row] if name in found else None for row in rows] for name in POSITION_COLUMNS}

    def view_events(self, plan: Plan, view: StreamView) -> EventBatch:
        """Reads the events of a view, after its function; those on which it fails are left out, as on the stream.

        Those of its own entities that were forgotten are left out too. Windows of others count their events, as in the
        store: those of a shop count what was bought by a customer who is forgotten.

        Raises as `events`.
        """
        source = plan.source(view.source)
        keys = [key.name for key in view.join_keys]
        batch = self._usable(source, keys)
        batch = self._without_forgotten(f"{source.topic}, view {view.name!r}", batch, keys)
        if not len(batch):
            return batch
        kept, failed = transform_each(view_transform(view), batch)
        self._count(f"{source.topic}, function of view {view.name!r}", len(batch), failed)
        return kept

    def _without_forgotten(self, where: str, batch: EventBatch, names: Collection[str]) -> EventBatch:
        if self._forgotten is None:
            return batch
        forgotten = self._forgotten.among(batch, names)
        self.forgotten[where] = int(forgotten.sum())
        return batch.select(~forgotten) if forgotten.any() else batch

    def _count(self, where: str, events: int, errors: Mapping[int, RecordError]) -> None:
        left_out = LeftOut.of(events, errors)
        self.left_out[where] = left_out
        if left_out.share > self._max_left_out:
            raise HistoryError(
                f"{self.folder}, {where}: {left_out}; that is more than a share of {self._max_left_out:g}: repair the "
                f"history, or allow it with --max-left-out"
            )


def _undecodable(column: Column, values: list[object], topic: str) -> dict[int, DecodeError]:
    """Finds, by row, values that no decoder accepts: infinite ones, and those out of the declared type's range."""
    errors: dict[int, DecodeError] = {}
    place = f"{topic}: $.{column.name}"
    limit = WHOLE_LIMITS.get(column.dtype)
    for row, value in enumerate(values):
        if isinstance(value, float):
            try:
                float_or_null(value, place)
            except DecodeError as error:
                errors[row] = error
        elif limit is not None and isinstance(value, int) and not -limit <= value < limit:
            errors[row] = DecodeError(f"{place}: {value} is out of the range of {column.dtype}")
    return errors
