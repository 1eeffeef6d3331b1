"""Writes a view's features as of each of its events, where Feast's historical retrieval reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.errors import PlanError
from forebay.pipelines.history.as_of import ViewHistory
from forebay.pipelines.history.load import History

ROWS_PER_GROUP = 50_000

_SCALARS: dict[DataType, Any] = {
    DataType.STRING: pa.string(),
    DataType.INT32: pa.int32(),
    DataType.INT64: pa.int64(),
    DataType.FLOAT32: pa.float32(),
    DataType.FLOAT64: pa.float64(),
    DataType.BOOL: pa.bool_(),
    DataType.UNIX_TIMESTAMP: pa.int64(),
}


def _arrow(dtype: DataType) -> Any:
    scalar = _SCALARS[dtype.element]
    return pa.list_(scalar) if dtype.is_list else scalar


def batch_places(plan: Plan) -> dict[str, Path]:
    """Returns, by stream view, the file that `write_batch_source` writes.

    Raises:
        PlanError: a view has no local file as batch source, or shares it with another view.
    """
    places: dict[str, Path] = {}
    owners = {view.batch_path: view.name for view in plan.batch_views if view.batch_path}
    for view in plan.stream_views:
        where = f"stream feature view {view.name!r}"
        if view.batch_path is None:
            raise PlanError(f"{where} has no batch source: give its source a FileSource")
        if "://" in view.batch_path:
            raise PlanError(f"{where}: its batch source is {view.batch_path}: backfill writes local files only")
        owner = owners.setdefault(view.batch_path, view.name)
        if owner != view.name:
            raise PlanError(
                f"{where} and {owner!r} have one batch source, {view.batch_path}: give each a FileSource of its own"
            )
        places[view.name] = Path(view.batch_path)
    return places


def write_batch_source(
    plan: Plan, view: StreamView, history: History, out: Path, on_rows: Callable[[int], None]
) -> int:
    """Writes the view's features as of each of its events; returns the number of rows.

    Args:
        out: the Parquet file to write.
        on_rows: told the number of rows after each group, for a progress bar.

    Raises:
        HistoryError: the history can't be read.
    """
    folded = ViewHistory(view, history.view_events(plan, view))
    with pq.ParquetWriter(out, _schema(view)) as writer:
        for table in _tables(view, folded):
            writer.write_table(table)
            on_rows(table.num_rows)
    return len(folded.events.entity)


def _schema(view: StreamView) -> pa.Schema:
    fields = [pa.field(key.name, _arrow(key.dtype)) for key in view.join_keys]
    fields.append(pa.field(view.batch_timestamp_field, pa.timestamp("ms", tz="UTC")))
    fields += [pa.field(feature.name, _arrow(feature.dtype)) for feature in view.features]
    return pa.schema(fields)


def _tables(view: StreamView, folded: ViewHistory) -> Iterator[pa.Table]:
    schema = _schema(view)
    by_time = np.argsort(folded.events.event_ms, kind="stable")
    for start in range(0, len(by_time), ROWS_PER_GROUP):
        rows = by_time[start : start + ROWS_PER_GROUP]
        codes, times = folded.events.entity[rows], folded.events.event_ms[rows]
        values = folded.as_of(codes, times).values
        entities = [folded.entities[code] for code in codes.tolist()]
        columns: list[Any] = [list(column) for column in zip(*entities, strict=True)]
        columns.append(pd.to_datetime(times, unit="ms", utc=True))
        arrays = [pa.array(column, schema.field(at).type) for at, column in enumerate(columns)]
        for column, feature in zip(values, view.features, strict=True):
            if feature.dtype.is_numeric and column.dtype != object:
                arrays.append(pa.array(column, from_pandas=True).cast(_arrow(feature.dtype)))
            else:
                arrays.append(pa.array(column.tolist(), _arrow(feature.dtype)))
        yield pa.Table.from_arrays(arrays, schema=schema)
