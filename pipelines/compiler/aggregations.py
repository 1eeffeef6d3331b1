"""Compiles aggregations of a stream view, each with the feature that it fills."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import msgspec
from feast.aggregation import Aggregation as Declared
from feast.stream_feature_view import StreamFeatureView

from forebay.pipelines.compiler.schema import timedelta_ms
from forebay.pipelines.contract.plan.functions import SPELLINGS, parse_function
from forebay.pipelines.contract.plan.types import DataType, Function
from forebay.pipelines.contract.plan.views import MAX_TILES_PER_WINDOW, Aggregation, Feature
from forebay.pipelines.errors import PlanError

_DEFAULT_HOP = timedelta(minutes=5)
"""Feast's hop of a tiled view that does not say."""

_WHOLE_TYPES = (DataType.INT32, DataType.INT64, DataType.BOOL, DataType.UNIX_TIMESTAMP)
_FRACTIONAL = (
    *(Function.MEAN, Function.STD, Function.VAR, Function.TIME_SINCE_LAST),
    *(Function.QUANTILE, Function.DECAYED_SUM),
)

_EXACT = (
    *(Function.SUM, Function.MEAN, Function.MIN, Function.MAX, Function.STD, Function.VAR),
    *(Function.FIRST, Function.LAST, Function.LAST_N, Function.TOP_K),
)
"""Of whole numbers of 64 bits these are made without a float64 in between."""

MAX_HALF_LIVES_PER_SLIDE = 500
"""An event at the end of a tile weighs 2^this times one at its start, which a float64 must hold."""


def compile_aggregation(declared: Declared, view: StreamFeatureView, where: str) -> Aggregation:
    """Compiles one aggregation.

    Raises:
        PlanError: naming the view, the aggregation and what to change.
    """
    name = declared.resolved_name(declared.time_window)
    at = f"{where}: aggregation {name!r}"
    function, parameter = _function(declared.function, at)
    column = "" if declared.column == "*" else declared.column
    if not column and function is not Function.COUNT:
        raise PlanError(f"{at} has no column; {function} needs one, set column=")
    if not declared.time_window:
        raise PlanError(f"{at} has no time_window; set one")
    window_ms = timedelta_ms(declared.time_window, f"{at}: time_window")
    slide_ms = timedelta_ms(_slide(declared, view), f"{at}: slide_interval")
    _check_tiles(window_ms, slide_ms, at)
    if function is Function.DECAYED_SUM and slide_ms > MAX_HALF_LIVES_PER_SLIDE * parameter:
        raise PlanError(
            f"{at}: a half-life of {parameter} ms is too short for a slide of {slide_ms} ms; "
            f"set slide_interval to {MAX_HALF_LIVES_PER_SLIDE * parameter} ms or less"
        )
    return Aggregation(name, column, function, window_ms, slide_ms, parameter)


def _function(name: str, where: str) -> tuple[Function, int]:
    try:
        return parse_function(name)
    except ValueError:
        supported = ", ".join(SPELLINGS)
        raise PlanError(f"{where} has unknown function {name!r}; use one of {supported}") from None


def _slide(declared: Declared, view: StreamFeatureView) -> timedelta:
    """Returns the slide, ms. Feast stores the window's length where none was given; the view's tiling then decides."""
    slide = declared.slide_interval or declared.time_window or timedelta(0)
    if slide == declared.time_window and view.enable_tiling:
        return view.tiling_hop_size or _DEFAULT_HOP
    return slide


def _check_tiles(window_ms: int, slide_ms: int, where: str) -> None:
    if slide_ms < 1 or window_ms < slide_ms or window_ms % slide_ms:
        raise PlanError(
            f"{where}: its window of {window_ms} ms is no multiple of its slide of {slide_ms} ms; "
            f"choose a slide that divides the window"
        )
    tiles = window_ms // slide_ms
    if tiles > MAX_TILES_PER_WINDOW:
        raise PlanError(
            f"{where} needs {tiles} tiles, at most {MAX_TILES_PER_WINDOW} are allowed; "
            f"set slide_interval to {-(-window_ms // MAX_TILES_PER_WINDOW)} ms or more"
        )


def bind(aggregation: Aggregation, feature: Feature, columns: Mapping[str, DataType] | None, where: str) -> Aggregation:
    """Returns the aggregation, knowing whether its values are texts or whole numbers of 64 bits; checked against its
    column and its feature.

    `columns` are the types of the columns after the view's function; None if they can't be known, and the feature says.

    Raises:
        PlanError: naming the view, the aggregation and what to change.
    """
    at = f"{where}: aggregation {aggregation.name!r}"
    dtype = _column_type(aggregation, columns, at)
    _check_shape(aggregation.function, feature.dtype, at)
    element = feature.dtype.element
    text = aggregation.function.keeps_values and element is DataType.STRING
    if not text and element is DataType.STRING:
        raise PlanError(f"{at}: feature of type {feature.dtype} can't hold a number; declare Float64")
    if aggregation.function.keeps_values and dtype is not None and text is dtype.is_numeric:
        raise PlanError(
            f"{at}: column {aggregation.column!r} is {dtype}, which a feature of type {feature.dtype} can't hold; "
            f"declare {_declared(aggregation.function, DataType.FLOAT64 if text else DataType.STRING)}"
        )
    if element is DataType.UNIX_TIMESTAMP and not _holds_times(aggregation.function, dtype):
        raise PlanError(
            f"{at}: a feature of type {feature.dtype} holds times of a timestamp column, by min, max, first, last, "
            f"last_<n> or top_<k>; declare {_declared(aggregation.function, DataType.INT64)}"
        )
    whole = aggregation.function in (Function.COUNT, Function.COUNT_DISTINCT) or (
        aggregation.function not in _FRACTIONAL and dtype in _WHOLE_TYPES
    )
    if element in _WHOLE_TYPES and not whole and columns is not None:
        raise PlanError(
            f"{at}: feature of type {feature.dtype} loses the fraction; "
            f"declare {_declared(aggregation.function, DataType.FLOAT64)}"
        )
    exact = dtype is DataType.INT64 or (dtype is None and element is DataType.INT64)
    return msgspec.structs.replace(aggregation, text=text, whole=exact and aggregation.function in _EXACT)


def _holds_times(function: Function, dtype: DataType | None) -> bool:
    """Returns whether results are times of the column. For a column of unknown type, the feature's type decides."""
    picks = function.keeps_values or function in (Function.MIN, Function.MAX)
    return picks and dtype in (None, DataType.UNIX_TIMESTAMP)


def _column_type(aggregation: Aggregation, columns: Mapping[str, DataType] | None, at: str) -> DataType | None:
    """Returns the type of the aggregated column, which the function must take; None where there is none, or it is not
    known.
    """
    if not aggregation.column or columns is None:
        return None
    dtype = columns.get(aggregation.column)
    if dtype is None:
        raise PlanError(f"{at}: unknown column {aggregation.column!r}; its events have {', '.join(columns)}")
    takes_texts = aggregation.function is Function.COUNT_DISTINCT or aggregation.function.keeps_values
    if not dtype.is_numeric and not takes_texts:
        raise PlanError(
            f"{at}: column {aggregation.column!r} is {dtype}; only numbers and booleans do, except for "
            f"first, last, last_<n>, top_<k> and count_distinct"
        )
    return dtype


def _check_shape(function: Function, dtype: DataType, at: str) -> None:
    """Checks that a list function fills a list, and any other function a scalar."""
    if function.makes_lists is not dtype.is_list:
        kind = "a list of values" if function.makes_lists else "one value"
        raise PlanError(
            f"{at}: a feature of type {dtype} can't hold {kind}; declare {_declared(function, dtype.element)}"
        )


def _declared(function: Function, element: DataType) -> str:
    """Returns the declaration of a feature for results of such values, for errors."""
    name = "".join(part.capitalize() for part in element.split("_"))
    return f"Array({name})" if function.makes_lists else name
