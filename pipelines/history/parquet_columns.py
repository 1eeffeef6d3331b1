"""Reads columns of a Parquet file as Python values of their declared types. Whole numbers and times stay exact."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.errors import ForebayError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

_FIRST_UNSAFE = 2**53
"""From here on a float64 may stand for several whole numbers, so a file may have rounded before it is read."""

_WHOLE_NUMBERS = "write whole numbers (pandas: astype('Int64')), or declare another type"
_NUMBERS = "write numbers, or declare another type"
_REPAIRS: dict[DataType, str] = {
    DataType.STRING: "write texts, or declare another type",
    DataType.INT32: _WHOLE_NUMBERS,
    DataType.INT64: _WHOLE_NUMBERS,
    DataType.FLOAT32: _NUMBERS,
    DataType.FLOAT64: _NUMBERS,
    DataType.BOOL: "write booleans, or declare another type",
    DataType.UNIX_TIMESTAMP: "write timestamps (pandas: to_datetime(..., utc=True)) or whole numbers",
}


class HistoryError(ForebayError):
    """A file of history, or a batch source, is missing or does not fit its declaration."""


def open_parquet(path: Path, missing: str) -> pq.ParquetFile:
    """Opens the file without reading its columns.

    Args:
        missing: what to say of a file that does not exist.

    Raises:
        HistoryError: there is none, or it is no Parquet.
    """
    try:
        # Not `read_table`: it takes folders that are named `key=value` for columns.
        return pq.ParquetFile(path)
    except FileNotFoundError as error:
        raise HistoryError(f"{path} does not exist: {missing}") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise HistoryError(f"{path} can't be read as one Parquet file: {error}; write it again") from error


def check_columns(file: pq.ParquetFile, names: Sequence[str], path: Path) -> None:
    """Refuses a file that lacks one of the columns.

    Raises:
        HistoryError: naming those it lacks.
    """
    present = set(file.schema_arrow.names)
    absent = [name for name in names if name not in present]
    if absent:
        raise HistoryError(f"{path} lacks the columns {', '.join(absent)}: write them, as nulls where nothing is known")


def read_columns(path: Path, types: Mapping[str, DataType], missing: str) -> dict[str, list[Any]]:
    """Reads columns by name, None for null and NaN; every list has one entry per row of the file.

    Times are datetimes in UTC (one without a zone is UTC), or the whole numbers that the file holds. Decimals
    become float64 where a floating type is declared, and stay exact where a whole number is.

    Args:
        types: the columns to read, with their declared types.
        missing: what to say of a file that does not exist.

    Raises:
        HistoryError: the file is missing or lacks a column, or a column holds something else.
    """
    with open_parquet(path, missing) as file:
        check_columns(file, list(types), path)
        table = file.read(columns=list(types))
    return {name: _python_values(table[name], dtype, f"{path}, column {name!r}") for name, dtype in types.items()}


def _python_values(column: pa.ChunkedArray, dtype: DataType, where: str) -> list[Any]:
    kind, types = column.type, pa.types
    if types.is_dictionary(kind):
        return _python_values(column.cast(kind.value_type), dtype, where)
    if column.null_count == len(column):
        return [None] * len(column)
    if dtype.is_list and (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        return list(column.to_pylist())
    number = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    match dtype:
        case DataType.STRING if types.is_string(kind) or types.is_large_string(kind):
            return list(column.to_pylist())
        case DataType.BOOL if types.is_boolean(kind):
            return list(column.to_pylist())
        case DataType.FLOAT32 | DataType.FLOAT64 if number:
            return [_floating(value) for value in column.to_pylist()]
        case DataType.INT32 | DataType.INT64 if number:
            return _whole_numbers(column, where)
        case DataType.UNIX_TIMESTAMP if types.is_integer(kind) or types.is_floating(kind):
            return _whole_numbers(column, where)
        case DataType.UNIX_TIMESTAMP if types.is_timestamp(kind):
            return _datetimes(column, where)
        case DataType.UNIX_TIMESTAMP if types.is_date(kind):
            return _datetimes(column.cast(pa.timestamp("ms")), where)
    row, value = next((at, each) for at, each in enumerate(column) if each.is_valid)
    raise HistoryError(
        f"{where}, row {row} (the first is 0): {value} is {kind}, but {dtype} is declared: "
        f"{_REPAIRS.get(dtype, 'write lists')}"
    )


def _floating(value: float | Decimal | None) -> float | None:
    number = math.nan if value is None else float(value)
    return None if math.isnan(number) else number


def _whole_numbers(column: pa.ChunkedArray, where: str) -> list[int | None]:
    values = column.to_pylist()
    if pa.types.is_integer(column.type):
        return list(values)
    return [_whole(value, f"{where}, row {row} (the first is 0)") for row, value in enumerate(values)]


def _whole(value: float | Decimal | None, where: str) -> int | None:
    """Returns the whole number; pandas writes those of a column with nulls as floats."""
    if value is None or value != value:
        return None
    if not math.isfinite(value) or value != int(value):
        raise HistoryError(f"{where}: {value} is no whole number: {_WHOLE_NUMBERS}")
    if isinstance(value, float) and abs(value) >= _FIRST_UNSAFE:
        raise HistoryError(
            f"{where}: {value:.0f} was written as a float, which above 2^53 stands for several whole numbers: "
            f"write the column as int64 (pandas: astype('Int64') before it has nulls)"
        )
    return int(value)


def _datetimes(column: pa.ChunkedArray, where: str) -> list[datetime | None]:
    per_second = _PER_SECOND[column.type.unit]
    times: list[datetime | None] = []
    for row, ticks in enumerate(column.cast(pa.int64()).to_pylist()):
        try:
            times.append(None if ticks is None else _EPOCH + timedelta(microseconds=ticks * 10**6 // per_second))
        except OverflowError as error:
            raise HistoryError(
                f"{where}, row {row} (the first is 0): {ticks} {column.type.unit} since 1970 is no time of a "
                f"calendar: correct the unit it was written in"
            ) from error
    return times
