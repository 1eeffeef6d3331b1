"""Times of events as features: whole seconds in the store, which Feast reads as the moments they were."""

import json
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pandas as pd
import pytest
from feast import Field
from feast.types import Array, Int64, UnixTimestamp

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.kafka.topics import Feed
from forebay.pipelines.contract.plan.types import Column, DataType, Function
from forebay.pipelines.contract.plan.views import Aggregation, Feature
from forebay.pipelines.contract.store.entity_key import feature_field
from forebay.pipelines.contract.store.values import decode_value
from forebay.pipelines.errors import PlanError
from forebay.pipelines.steps.made_columns import MadeColumns
from forebay.pipelines.steps.validate import Validator
from tests.compiler.definitions import total, view_of
from tests.feature_processor.partition import (
    Producer,
    topic_batches,
)
from tests.oracle import Window
from tests.support.build import HOUR, SOURCE, START_MS, make_view, record

TIMED = msgspec.structs.replace(SOURCE, columns=(*SOURCE.columns, Column("seen", DataType.UNIX_TIMESTAMP)))
FIRST, SECOND = "2013-01-01T00:00:05.999Z", "2013-01-01T00:00:07.001+00:00"


def moment(text):
    return datetime.fromisoformat(text).replace(microsecond=0)


def stored(function, parameter, dtype, *seen):
    """The feature as it is stored after events of one card that saw these times."""
    view = msgspec.structs.replace(
        make_view([Window("last", "seen", HOUR, HOUR)]),
        aggregations=(Aggregation("seen_1h", "seen", function, HOUR, HOUR, parameter),),
        features=(Feature("seen_1h", dtype),),
    )
    store = MemoryStore()
    feed = Feed("payments", TIMED, False, (view,), ())
    shared = topic_batches(feed, store, Producer(), Incarnation("payments", "x", 1), project="p")
    shared.assign({0: 0})
    shared.begin()
    events = [{"event_ms": START_MS + at, "card": "a", "seen": each} for at, each in enumerate(seen)]
    shared.process({0: [record(at, json.dumps(event).encode()) for at, event in enumerate(events)]})
    field = feature_field(view.name, "seen_1h")
    (row,) = [fields for fields in store.hashes.values() if field in fields]
    return row[field]


@pytest.fixture(scope="module")
def read():
    """As the Feast SDK reads a value."""
    from feast.protos.feast.types.Value_pb2 import Value
    from feast.type_map import feast_value_type_to_python_type

    return lambda data: feast_value_type_to_python_type(Value.FromString(data))


@pytest.mark.parametrize(
    ("function", "parameter", "dtype", "expected"),
    [
        (Function.MIN, 0, DataType.UNIX_TIMESTAMP, moment(FIRST)),
        (Function.MAX, 0, DataType.UNIX_TIMESTAMP, moment(SECOND)),
        (Function.FIRST, 0, DataType.UNIX_TIMESTAMP, moment(FIRST)),
        (Function.LAST, 0, DataType.UNIX_TIMESTAMP, moment(SECOND)),
        (Function.LAST_N, 2, DataType.UNIX_TIMESTAMP_LIST, [moment(SECOND), moment(FIRST)]),
        (Function.TOP_K, 1, DataType.UNIX_TIMESTAMP_LIST, [moment(FIRST)]),
    ],
)
def test_feast_reads_the_moment_that_an_event_said(read, function, parameter, dtype, expected):
    assert read(stored(function, parameter, dtype, FIRST, None, SECOND)) == expected


def test_a_number_of_a_time_is_its_milliseconds():
    """Declared as a number, it is what functions of views see too."""
    assert decode_value(stored(Function.MAX, 0, DataType.INT64, FIRST)) == START_MS + 5_999


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_times_that_a_function_makes_are_milliseconds_too(zone):
    batch, _ = Validator(SOURCE)([SOURCE_EVENT, SOURCE_EVENT])
    made = batch.frame()
    moments = pd.Series(pd.to_datetime([START_MS + 7, None], unit="ms", utc=True))
    made["seen"] = moments.dt.tz_localize(None) if zone is None else moments.dt.tz_convert(zone)
    numbers = batch.transformed(MadeColumns(made)).floats("seen")
    assert numbers[0] == START_MS + 7
    assert numbers[1] != numbers[1]


@pytest.mark.parametrize("zone", [None, UTC, timezone(timedelta(hours=2))])
def test_so_are_those_of_a_function_in_python_mode(zone):
    batch, _ = Validator(SOURCE)([SOURCE_EVENT, SOURCE_EVENT])
    local = datetime.fromtimestamp(START_MS / 1_000, zone or UTC).replace(tzinfo=zone)
    rows = pd.DataFrame({"seen": [local + timedelta(milliseconds=7), None]}, dtype=object)
    made = batch.transformed(MadeColumns(rows))
    numbers, identities = made.floats("seen"), made.identities("seen")
    assert numbers[0] == identities.values[0] == START_MS + 7
    assert numbers[1] != numbers[1]
    assert identities.known.tolist() == [True, False]


SOURCE_EVENT = msgspec.defstruct("Event", [(each.name, object, None) for each in SOURCE.columns])(START_MS, "a")


def spoiled(events):
    events["seen"] = events["amount"]
    return events


def later(events):
    events["seen"] = events["seen"] + 1
    return events


@pytest.mark.parametrize("column", ["seen", "at"])
@pytest.mark.parametrize("function", ["min", "max", "first", "last"])
def test_a_time_of_a_timestamp_column_can_be_a_feature(function, column):
    """The event's own is one, whatever its type."""
    for udf in ({}, {"udf": later}):
        made = view_of(
            **udf,
            aggregations=[total(function=function, column=column)],
            schema=[Field(name="total", dtype=UnixTimestamp)],
        )
        assert made.features[0].dtype is DataType.UNIX_TIMESTAMP


@pytest.mark.parametrize(
    ("changes", "declared"),
    [
        ({"aggregations": [total(function="max", column="n")]}, "Int64"),
        ({"aggregations": [total(function="sum", column="seen")]}, "Int64"),
        ({"aggregations": [total(function="count", column="seen")]}, "Int64"),
        ({"aggregations": [total(function="max", column="seen")], "udf": spoiled}, "Int64"),
        (
            {
                "aggregations": [total(function="last_2", column="n")],
                "schema": [Field(name="total", dtype=Array(UnixTimestamp))],
            },
            r"Array\(Int64\)",
        ),
    ],
)
def test_nothing_else_can(changes, declared):
    settings = {"schema": [Field(name="total", dtype=UnixTimestamp)]} | changes
    with pytest.raises(PlanError, match=f"'total': a feature of type .* holds times .*; declare {declared}$"):
        view_of(**settings)


def test_a_time_may_be_declared_as_a_number():
    made = view_of(aggregations=[total(function="max", column="seen")], schema=[Field(name="total", dtype=Int64)])
    assert made.features[0].dtype is DataType.INT64
