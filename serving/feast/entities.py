"""Types the join keys and request fields of a request as Feast does: JSON knows fewer types than they have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from forebay.pipelines.contract.plan.services import FeatureService
from forebay.pipelines.contract.plan.types import DataType
from forebay.serving.feast.errors import InvalidField, ObjectNotFound
from forebay.serving.features.request import RANGES

Values = Mapping[str, Sequence[Any]]
"""By name, one per entity."""


def typed_entities(given: Values, service: FeatureService) -> dict[str, Sequence[Any]]:
    """Types the join keys and request fields of a service.

    Raises:
        InvalidField: a join key is missing or null, or a value is not of its type.
        ObjectNotFound: a field that on-demand views need is missing.
    """
    missing = [key.name for key in service.join_keys if key.name not in given]
    if missing:
        raise InvalidField(("entities",), f"join keys {', '.join(missing)} are missing: add a list of values for each")
    lacking = [column.name for column in service.request if column.name not in given]
    if lacking:
        raise ObjectNotFound(
            "RequestDataNotFoundInEntityRowsException",
            f"Required request data source features {lacking} not found in the entity rows, but required by feature "
            f"views: add a list of values for each",
        )
    keys = {key.name: _typed(given[key.name], key.dtype, key.name, _join_key) for key in service.join_keys}
    fields = {each.name: _typed(given[each.name], each.dtype, each.name, _request_value) for each in service.request}
    return keys | fields


def _typed(values: Sequence[Any], dtype: DataType, name: str, convert: Callable[[Any, DataType], Any]) -> Sequence[Any]:
    out = []
    for at, value in enumerate(values):
        try:
            converted = convert(value, dtype)
        except (ValueError, TypeError, OverflowError):
            raise InvalidField(("entities", name, at), f"{value!r} is no {dtype}") from None
        low, high = RANGES.get(dtype, (converted, converted))
        if converted is not None and not low <= converted <= high:
            raise InvalidField(("entities", name, at), f"{value!r} is out of the range of {dtype}")
        out.append(converted)
    return out


def _join_key(value: Any, dtype: DataType) -> str | int:
    """Types a join key as Feast's SDK does: 1001.5 and the text "1001" become 1001, any number becomes a text."""
    if value is None or isinstance(value, list | dict):
        raise TypeError(value)
    return str(value) if dtype is DataType.STRING else int(value)


def _request_value(value: Any, dtype: DataType) -> Any:
    """Types a request value; whole numbers are floats too. Null is null."""
    if value is None:
        return None
    wanted: dict[DataType, type | tuple[type, ...]] = {
        DataType.STRING: str,
        DataType.BOOL: bool,
        DataType.FLOAT32: (int, float),
        DataType.FLOAT64: (int, float),
    }
    if isinstance(value, bool) is not (dtype is DataType.BOOL) or not isinstance(value, wanted.get(dtype, int)):
        raise TypeError(value)
    return value
