"""How functions are spelled."""

import pytest

from forebay.pipelines.contract.plan.functions import parse_function, spelled
from forebay.pipelines.contract.plan.types import Function
from forebay.pipelines.contract.plan.views import Aggregation


@pytest.mark.parametrize(
    ("spelling", "function", "parameter"),
    [
        ("sum", Function.SUM, 0),
        ("count_distinct", Function.COUNT_DISTINCT, 0),
        ("p1", Function.QUANTILE, 1),
        ("last_1", Function.LAST_N, 1),
        ("last_100", Function.LAST_N, 100),
        ("top_10", Function.TOP_K, 10),
        ("p99", Function.QUANTILE, 99),
        ("decayed_sum_250ms", Function.DECAYED_SUM, 250),
        ("decayed_sum_90s", Function.DECAYED_SUM, 90_000),
        ("decayed_sum_10m", Function.DECAYED_SUM, 600_000),
        ("decayed_sum_12h", Function.DECAYED_SUM, 12 * 3_600_000),
        ("decayed_sum_7d", Function.DECAYED_SUM, 7 * 86_400_000),
    ],
)
def test_a_function_is_read_as_it_is_spelled(spelling, function, parameter):
    assert parse_function(spelling) == (function, parameter)
    assert spelled(Aggregation("f", "x", function, 1, 1, parameter)) == spelling


@pytest.mark.parametrize(
    "spelling",
    [
        *("median", "p", "p0", "p100", "p05", "quantile", "decayed_sum", "decayed_sum_1"),
        *("last_n", "last_0", "last_101", "last_01", "top_k", "top_0", "top_101", "top_"),
    ],
)
def test_anything_else_is_no_function(spelling):
    with pytest.raises(ValueError, match=spelling):
        parse_function(spelling)
