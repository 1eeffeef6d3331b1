"""Declares the scoring request, which every door translates into, and checks its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from forebay.pipelines.contract.plan.services import FeatureService
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.errors import PlanError, RequestError
from forebay.pipelines.steps.event_time import LATEST_MS, meant_by

_PYTHON_TYPES: dict[DataType, tuple[type, ...]] = {
    DataType.STRING: (str,),
    DataType.INT32: (int,),
    DataType.INT64: (int,),
    DataType.FLOAT32: (int, float),
    DataType.FLOAT64: (int, float),
    DataType.BOOL: (bool,),
    DataType.UNIX_TIMESTAMP: (int,),
}
_FLOAT32, _FLOAT64 = float(np.finfo(np.float32).max), float(np.finfo(np.float64).max)
RANGES: dict[DataType, tuple[Any, Any]] = {
    DataType.INT32: (-(2**31), 2**31 - 1),
    DataType.INT64: (-(2**63), 2**63 - 1),
    DataType.UNIX_TIMESTAMP: (-(2**63), 2**63 - 1),
    # JSON's integers have no bounds; numpy's floats do.
    DataType.FLOAT32: (-_FLOAT32, _FLOAT32),
    DataType.FLOAT64: (-_FLOAT64, _FLOAT64),
}
"""Smallest and largest value."""


class ScoringRequest(NamedTuple):
    """One question: these fields, as of this time."""

    fields: Mapping[str, Any]
    """Join keys and request fields by name; None or absent is null."""
    as_of_ms: int
    """ms since the epoch."""


def check_asks(source: Source, service: FeatureService) -> None:
    """Checks that events of the source have every field that requests to the service need.

    Raises:
        PlanError: they lack one.
    """
    columns = {column.name for column in source.columns}
    lacking = [name for name in service.field_types if name not in columns]
    if lacking:
        raise PlanError(
            f"events of {source.topic!r} lack fields of feature service {service.name!r}: {', '.join(lacking)}; "
            f"score another topic, or add them to the schema of source {source.name!r}"
        )


def check_as_of(as_of_ms: int, earliest_ms: int, path: str) -> None:
    """Raises `RequestError` for a time that can't be asked about.

    Args:
        earliest_ms: the earliest time that events of the plan may have.
        path: where the time stands in what the caller has given.

    Raises:
        RequestError: it is earlier, or after 2100, as a number in another unit is; the message names that unit.
    """
    if not earliest_ms <= as_of_ms <= LATEST_MS:
        meant = meant_by(as_of_ms)
        when = "after 2100" if as_of_ms > LATEST_MS else "before 1971, of which no event is known"
        but = f", and in {meant.year}, if it is {meant.unit}: give milliseconds" if meant else ""
        raise RequestError(path, f"{as_of_ms} ms since the epoch is a time {when}{but}")


def check_type(value: Any, dtype: DataType, path: str) -> None:
    """Raises `RequestError` for a value that is not null and not of the type.

    Args:
        path: where it stands in what the caller has given.

    Raises:
        RequestError: it is of another one.
    """
    is_bool = isinstance(value, bool)
    if not isinstance(value, _PYTHON_TYPES[dtype]) or is_bool is not (dtype is DataType.BOOL):
        raise RequestError(path, f"expected {dtype}, got {type(value).__name__}")


class RequestChecker:
    """Checks the fields of requests to one feature service."""

    def __init__(self, service: FeatureService) -> None:
        self._fields: dict[str, tuple[DataType, bool]] = {}
        for key in service.join_keys:
            self._fields[key.name] = (key.dtype, False)
        for column in service.request:
            self._fields[column.name] = (column.dtype, column.required)

    def __call__(self, fields: Mapping[str, Any], path: str) -> None:
        """Checks one request.

        Args:
            path: where it stands in the caller's message, e.g. `$.entities[3]`.

        Raises:
            RequestError: a field is unknown, of the wrong type, or required and null.
        """
        for name in fields:
            if name not in self._fields:
                raise RequestError(f"{path}.{name}", f"unknown field; known are {', '.join(sorted(self._fields))}")
        for name, (dtype, required) in self._fields.items():
            value = fields.get(name)
            if value is None:
                if required or name not in fields:
                    raise RequestError(f"{path}.{name}", f"required, a {dtype}; send null if it is not known")
            else:
                self._check_value(value, dtype, f"{path}.{name}")

    def _check_value(self, value: Any, dtype: DataType, path: str) -> None:
        check_type(value, dtype, path)
        low, high = RANGES.get(dtype, (value, value))
        if not low <= value <= high:
            raise RequestError(path, f"out of the range of {dtype}")
