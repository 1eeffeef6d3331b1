"""Whole numbers of 64 bits are exact from event to served value, nulls beside them; what can't be said is null."""

import json
import math
from collections import Counter

import dill
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.pipelines.contract.plan.functions import parse_function
from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.plan.views import Aggregation, Feature, OnDemandInput, OnDemandView, Udf
from forebay.pipelines.contract.store.list_values import decode_list
from forebay.pipelines.contract.store.values import decode_value, encode_columns
from forebay.pipelines.steps.arrays import joined_columns, objects
from forebay.pipelines.steps.decode.decoder import JsonDecoder
from forebay.pipelines.steps.validate import Validator
from forebay.serving.features.columns import to_column, to_values
from forebay.serving.features.on_demand import OnDemandTransform
from forebay.serving.models.tensors import as_matrix, as_tensor, unheld
from tests.oracle import Event, Window
from tests.support.build import HOUR, MINUTE, SOURCE, START_MS, Folded, make_view

LARGEST, SMALLEST = 2**63 - 1, -(2**63)
INT64 = st.one_of(
    st.none(),
    st.integers(SMALLEST, LARGEST),
    st.sampled_from([2**53, 2**53 + 1, -(2**53) - 1, LARGEST, LARGEST - 1, SMALLEST, SMALLEST + 1, 0]),
)
FUNCTIONS = ("sum", "min", "max", "first", "last", "last_3", "top_2", "count_distinct", "mean", "std")


def whole_view(dtype=DataType.INT64, functions=FUNCTIONS):
    """A view of these functions of the Int64 column `items`."""
    view = make_view([Window(each, "items", HOUR, 10 * MINUTE) for each in functions])
    aggregations, features = [], []
    for at, spelling in enumerate(functions):
        function, parameter = parse_function(spelling)
        whole = spelling != "count_distinct"
        aggregations.append(Aggregation(f"f{at}", "items", function, HOUR, 10 * MINUTE, parameter, whole=whole))
        scalar = DataType.FLOAT64 if spelling in ("mean", "std") else dtype
        features.append(Feature(f"f{at}", DataType(f"array({scalar})") if function.makes_lists else scalar))
    return msgspec.structs.replace(view, aggregations=tuple(aggregations), features=tuple(features))


def events_of(numbers):
    return [Event("a", START_MS + at * MINUTE, {"items": number}) for at, number in enumerate(numbers)]


def served(view, numbers, cut):
    """Per function, what the store holds and what HTTP and predictions answer."""
    rows = Folded(view)
    events = events_of(numbers)
    for start in range(0, len(events), cut):
        rows.add(events[start : start + cut], start)
    stored = [rows.rows["a"]]
    headers = [rows.aggregate.codec.header(row) for row in stored]
    as_of = np.array([START_MS + HOUR - 1], dtype=np.int64)
    columns = rows.aggregate.evaluate(rows.aggregate.codec.unpack(stored, headers), as_of).columns
    types = [feature.dtype for feature in view.features]
    cells = encode_columns(columns, types)
    held = [(decode_list if dtype.is_list else decode_value)(cell[0]) for cell, dtype in zip(cells, types, strict=True)]
    return held, [to_values(column, dtype)[0] for column, dtype in zip(columns, types, strict=True)]


def truth_of(numbers):
    known = [each for each in numbers if each is not None]
    total = sum(known)
    ranked = sorted(Counter(known).items(), key=lambda pair: (-pair[1], pair[0]))
    return [
        total if SMALLEST <= total <= LARGEST else None,
        min(known, default=None),
        max(known, default=None),
        known[0] if known else None,
        known[-1] if known else None,
        known[:-4:-1],
        [value for value, _ in ranked[:2]],
        len(set(known)),
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(INT64, min_size=1, max_size=12), st.integers(1, 12))
def test_every_function_is_exact_in_the_store_and_in_answers(numbers, cut):
    held, answered = served(whole_view(), numbers, cut)
    assert held[:8] == answered[:8] == truth_of(numbers)
    known = [each for each in numbers if each is not None]
    if known:
        assert answered[8] == pytest.approx(sum(known) / len(known), rel=1e-15)


@pytest.mark.parametrize("start", [2**62, -(2**62), 812_345_678_901_234_567])
def test_the_spread_of_large_numbers_is_that_of_their_differences(start):
    answered = served(whole_view(functions=("std",)), [start + at for at in range(10)], 3)[1]
    assert answered == [pytest.approx(math.sqrt(55 / 6), rel=1e-14)]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [([2**62, 2**62], None), ([2**62, 2**62 - 1], LARGEST), ([2**62, 2**62, -1], LARGEST), ([SMALLEST, -1], None)],
)
def test_a_sum_that_is_no_int64_is_null_everywhere(numbers, expected):
    held, answered = served(whole_view(functions=("sum",)), numbers, 1)
    assert held == answered == [expected]


def test_int32_features_of_numbers_beyond_them_are_null():
    held, answered = served(whole_view(DataType.INT32, ("sum", "max")), [2**31, 1], 2)
    assert held == answered == [None, None]


def test_an_event_is_decoded_and_read_exactly():
    events = [{"event_ms": START_MS, "card": "a", "items": number} for number in (LARGEST, None, SMALLEST)]
    decoded = JsonDecoder(SOURCE)([json.dumps(event).encode() for event in events])
    batch, errors = Validator(SOURCE)(decoded.events)
    assert not errors
    numbers = batch.whole("items")
    assert numbers.known.tolist() == [True, False, True]
    assert numbers.values[[0, 2]].tolist() == [LARGEST, SMALLEST]


@pytest.mark.parametrize("values", [[1, None], [LARGEST, None, SMALLEST], [2**53 + 1, 5], [None]])
def test_columns_of_answers_keep_them(values):
    assert to_values(to_column(values, DataType.INT64), DataType.INT64) == values


def test_columns_of_different_chunks_are_joined_exactly():
    joined = joined_columns([np.array([3.0, np.nan]), objects([LARGEST, None])])
    assert to_values(joined, DataType.INT64) == [3, None, LARGEST, None]


def test_tensors_hold_them_or_say_that_they_do_not():
    column = to_column([LARGEST, None, SMALLEST], DataType.INT64)
    assert unheld(column, "tensor(int64)").tolist() == [False, True, False]
    assert as_tensor(column, "tensor(int64)", unheld(column, "tensor(int64)")).tolist() == [LARGEST, 0, SMALLEST]
    assert unheld(column, "tensor(int32)").tolist() == [True, True, True]
    assert as_tensor(column, "tensor(double)", unheld(column, "tensor(double)"))[[0, 2]].tolist() == [
        2.0**63,
        -(2.0**63),
    ]


@pytest.mark.parametrize("beside", [7.0, 2.5, np.nan])
def test_a_matrix_holds_them_beside_features_that_are_floats(beside):
    matrix = as_matrix([to_column([LARGEST, None], DataType.INT64), np.array([beside, 1.0])])
    assert unheld(matrix, "tensor(int64)").tolist() == [[False, beside != 7.0], [True, False]]
    assert as_tensor(matrix, "tensor(int64)", unheld(matrix, "tensor(int64)")).tolist() == [
        [LARGEST, 7 if beside == 7.0 else 0],
        [0, 1],
    ]


@pytest.mark.parametrize("mode", ["pandas", "python"])
def test_on_demand_functions_see_and_return_them(mode):
    def next_one(given):
        if mode == "pandas":
            given["next"] = given["id"] + 1
            return given
        return {"next": [None if each is None else each + 1 for each in given["id"]]}

    udf = Udf("next_one", mode, dill.dumps(next_one, recurse=True), "")
    inputs = (OnDemandInput("id", "", DataType.INT64),)
    view = OnDemandView("ids", inputs, (Feature("next", DataType.INT64),), udf)
    given = to_column([2**60, None, LARGEST - 1], DataType.INT64)
    found = OnDemandTransform(view)({("", "id"): given})["next"]
    assert to_values(found, DataType.INT64) == [2**60 + 1, None, LARGEST]
