"""How aggregation functions are spelled in a Feast definition, those with a parameter included.

count sum mean min max std var first last time_since_last count_distinct
last_1 ... last_100            the newest values, newest first
top_1 ... top_100              the most frequent values, most frequent first
p1 ... p99                     quantiles, in percent
decayed_sum_<half-life>        decayed_sum_30s, decayed_sum_10m, decayed_sum_12h, decayed_sum_7d
"""

from __future__ import annotations

import re

from forebay.pipelines.contract.plan.durations import UNIT_MS, duration_text
from forebay.pipelines.contract.plan.types import Function
from forebay.pipelines.contract.plan.views import Aggregation

PARAMETRIC = (Function.QUANTILE, Function.DECAYED_SUM, Function.LAST_N, Function.TOP_K)
SPELLINGS = (
    *(str(each) for each in Function if each not in PARAMETRIC),
    *("p1 ... p99", "decayed_sum_<half-life>", "last_1 ... last_100", "top_1 ... top_100"),
)

_QUANTILE = re.compile(r"p([1-9]\d?)")
_LIST = re.compile(r"(last|top)_(100|[1-9]\d?)")
_LISTS = {"last": Function.LAST_N, "top": Function.TOP_K}
_DECAYED_SUM = re.compile(r"decayed_sum_([1-9]\d{0,8})(ms|s|m|h|d)")


def parse_function(spelling: str) -> tuple[Function, int]:
    """Returns the function and its parameter (see `Aggregation.parameter`).

    Raises:
        ValueError: there is no such function.
    """
    if found := _QUANTILE.fullmatch(spelling):
        return Function.QUANTILE, int(found[1])
    if found := _DECAYED_SUM.fullmatch(spelling):
        return Function.DECAYED_SUM, int(found[1]) * UNIT_MS[found[2]]
    if found := _LIST.fullmatch(spelling):
        return _LISTS[found[1]], int(found[2])
    if spelling in PARAMETRIC:
        raise ValueError(f"{spelling} is spelled with its parameter")
    return Function(spelling), 0


def spelled(aggregation: Aggregation) -> str:
    """Returns the function of an aggregation as it is spelled, the half-life in the largest unit that divides it."""
    match aggregation.function:
        case Function.QUANTILE:
            return f"p{aggregation.parameter}"
        case Function.DECAYED_SUM:
            return f"decayed_sum_{duration_text(aggregation.parameter)}"
        case Function.LAST_N:
            return f"last_{aggregation.parameter}"
        case Function.TOP_K:
            return f"top_{aggregation.parameter}"
        case _:
            return str(aggregation.function)
