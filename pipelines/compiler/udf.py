"""Checks that stored functions of views load and run without Feast and without the repo."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import dill
import pandas as pd

from forebay.pipelines.compiler.event_schema import refuse_ignored
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.types import Column, DataType
from forebay.pipelines.contract.plan.views import Udf
from forebay.pipelines.errors import PlanError

_SAMPLE_TIME_MS = 1_704_067_200_000
_REPAIR = "import and define what it needs inside the function"
_SAMPLES: dict[DataType, object] = {
    DataType.STRING: "1",
    DataType.INT32: 1,
    DataType.INT64: 1,
    DataType.FLOAT32: 1.0,
    DataType.FLOAT64: 1.0,
    DataType.BOOL: True,
    DataType.UNIX_TIMESTAMP: _SAMPLE_TIME_MS,
}
_SAMPLE_ROWS = 2


def stored_udf(stored: Any, mode: str, where: str, singleton: bool = False) -> Udf:
    """Reads the function in a Feast `UserDefinedFunction` message (either version of it).

    Raises:
        PlanError: the mode is none that Forebay runs.
    """
    supported: dict[str, Literal["pandas", "python"]] = {"pandas": "pandas", "python": "python"}
    if mode not in supported:
        raise PlanError(f"{where} has mode={mode!r}, which is not supported; use 'pandas' or 'python'")
    return Udf(stored.name, supported[mode], stored.body, stored.body_text, singleton)


class _Unpickler(dill.Unpickler):  # type: ignore[misc]
    """Collects the modules that a stored function needs."""

    def __init__(self, body: bytes) -> None:
        super().__init__(io.BytesIO(body))
        self.modules: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("dill._dill", "_import_module"):
            return self._import_module
        self.modules.add(module)
        return super().find_class(module, name)

    def _import_module(self, name: str, safe: bool = False) -> Any:
        self.modules.add(name)
        return dill._dill._import_module(name, safe)


def load(udf: Udf, where: str, repo: Path | None = None) -> Callable[..., Any]:
    """Loads the function.

    Raises:
        PlanError: it does not load, or only together with Feast or with modules of the feature repo.
    """
    unpickler = _Unpickler(udf.body)
    try:
        function: Callable[..., Any] = unpickler.load()
    except Exception as error:
        raise PlanError(f"{where}: its function {udf.name!r} can't be loaded: {error}; {_REPAIR}") from error
    for module in sorted(unpickler.modules):
        if module.partition(".")[0] == "feast" or _is_below(module, repo):
            raise PlanError(
                f"{where}: its function {udf.name!r} needs module {module!r}, which is not there when it "
                f"runs; {_REPAIR}"
            )
    return function


def _is_below(module: str, folder: Path | None) -> bool:
    file = getattr(sys.modules.get(module), "__file__", None)
    return folder is not None and file is not None and Path(file).resolve().is_relative_to(folder)


def columns_after(udf: Udf, function: Callable[..., Any], source: Source, where: str) -> dict[str, DataType] | None:
    """Returns the columns of events after the function, found by running it on sample events.

    Returns:
        Types by column; None where the function dropped the samples and so does not show its columns.

    Raises:
        PlanError: it raised, or returned something else than its mode asks for.
    """
    events = pd.DataFrame({column.name: [_sample(column, source)] * _SAMPLE_ROWS for column in source.columns})
    try:
        if udf.mode == "pandas":
            columns: dict[str, DataType] | None = _frame_columns(function(events), where)
        else:
            columns = _row_columns([function(row) for row in events.to_dict("records")], where)
    except PlanError:
        raise
    except Exception as error:
        if isinstance(error, KeyError):
            refuse_ignored(source.ignored, error.args[0], f"{where}: its function {udf.name!r}")
        raise PlanError(
            f"{where}: its function {udf.name!r} failed on a sample event: {error!r}; correct it"
        ) from error
    return None if columns is None else _with_times(columns, columns_of(source))


def columns_of(source: Source) -> dict[str, DataType]:
    """Returns the columns of events before the function. The event's time is one, whatever its type."""
    return {column.name: column.dtype for column in source.columns} | {source.timestamp_field: DataType.UNIX_TIMESTAMP}


def _with_times(after: dict[str, DataType], before: dict[str, DataType]) -> dict[str, DataType]:
    """Restores the type of times, which functions see as whole numbers: a time that is still whole after is a time."""
    times = {name for name, dtype in before.items() if dtype is DataType.UNIX_TIMESTAMP}
    return {
        name: DataType.UNIX_TIMESTAMP if name in times and dtype is DataType.INT64 else dtype
        for name, dtype in after.items()
    }


def _sample(column: Column, source: Source) -> object:
    if column.name == source.timestamp_field and column.dtype is DataType.INT64:
        return _SAMPLE_TIME_MS
    return _SAMPLES[column.dtype]


def _frame_columns(result: object, where: str) -> dict[str, DataType]:
    if not isinstance(result, pd.DataFrame):
        raise PlanError(f"{where}: its function returned {type(result).__name__}; return a DataFrame")
    if not result.index.is_unique or not result.index.isin(range(_SAMPLE_ROWS)).all():
        raise PlanError(f"{where}: its function changed the row labels; keep the index")
    inferred = result.infer_objects()
    return {str(name): _column_type(inferred[name]) for name in inferred.columns}


def _row_columns(rows: list[object], where: str) -> dict[str, DataType] | None:
    kept: list[dict[str, Any]] = []
    for row in rows:
        if isinstance(row, dict):
            kept.append(row)
        elif row is not None:
            raise PlanError(f"{where}: its function returned {type(row).__name__}; return a dict or None")
    return _frame_columns(pd.DataFrame(kept), where) if kept else None


def _column_type(column: pd.Series[Any]) -> DataType:
    if pd.api.types.is_bool_dtype(column.dtype):
        return DataType.BOOL
    if pd.api.types.is_integer_dtype(column.dtype):
        return DataType.INT64
    if pd.api.types.is_float_dtype(column.dtype):
        return DataType.FLOAT64
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return DataType.UNIX_TIMESTAMP
    return DataType.STRING
