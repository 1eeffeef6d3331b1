"""Values of Parquet files: exact where they are whole, refused with place and repair where they do not fit."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.plan.types import Column, DataType
from forebay.pipelines.contract.plan.views import BatchView, Feature, JoinKey
from forebay.pipelines.history.as_of import ViewHistory
from forebay.pipelines.history.batch_rows import read_batch_rows
from forebay.pipelines.history.load import History
from forebay.pipelines.history.parquet_columns import HistoryError
from tests.oracle import Window
from tests.support.build import HOUR, SOURCE, START_MS, make_view

CUSTOMERS = [1239162456494753670, 1239162456494753671]
"""As float64 they are one number."""
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
VIEW = make_view([Window("count", "", HOUR, HOUR)], name="customers", keys=["customer"])
VIEW = msgspec.structs.replace(VIEW, join_keys=(JoinKey("customer", DataType.INT64),))


def source_with(name, dtype):
    return msgspec.structs.replace(SOURCE, columns=(Column("event_ms", DataType.INT64), Column(name, dtype)))


def write(folder, **columns):
    """A history of `SOURCE`'s topic; one event per millisecond."""
    count = len(next(iter(columns.values())))
    table = {"event_ms": pa.array(range(START_MS, START_MS + count)), **columns}
    pq.write_table(pa.table(table), folder / "payments.parquet")


def read(folder, dtype, array):
    write(folder, value=array)
    return History(folder).events(source_with("value", dtype)).values("value")


def test_two_customers_above_2_to_53_stay_two_beside_one_without_id(tmp_path):
    write(tmp_path, customer=pa.array([*CUSTOMERS, None], pa.int64()))
    source = source_with("customer", DataType.INT64)
    plan = Plan(PLAN_FORMAT, "p", "", "", (source,), (VIEW,), (), (), ())
    history = ViewHistory(VIEW, History(tmp_path).view_events(plan, VIEW))
    assert sorted(history.entities) == [(each,) for each in CUSTOMERS]


@pytest.mark.parametrize(
    ("dtype", "array", "values"),
    [
        (DataType.INT64, pa.array([2**63 - 1, -(2**63), None]), [2**63 - 1, -(2**63), None]),
        (DataType.INT64, pa.array([1.0, None, float("nan")]), [1, None, None]),
        (DataType.INT64, pa.array([Decimal(2**60 + 1), None], pa.decimal128(38)), [2**60 + 1, None]),
        (DataType.INT32, pa.array([1, None], pa.uint8()), [1, None]),
        (DataType.FLOAT64, pa.array([Decimal("0.10"), None], pa.decimal128(38, 2)), [0.1, None]),
        (DataType.FLOAT64, pa.array([3, None]), [3.0, None]),
        (DataType.STRING, pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
        (DataType.STRING, pa.nulls(2), [None, None]),
        (DataType.BOOL, pa.array([True, None]), [True, None]),
        (DataType.UNIX_TIMESTAMP, pa.array([NOON, None], pa.timestamp("ns")), [NOON, None]),
        (DataType.UNIX_TIMESTAMP, pa.array([NOON, None], pa.timestamp("s", "America/New_York")), [NOON, None]),
        (DataType.UNIX_TIMESTAMP, pa.array([NOON.date()]), [NOON.replace(hour=0)]),
        (DataType.UNIX_TIMESTAMP, pa.array([START_MS]), [START_MS]),
    ],
)
def test_a_column_is_read_as_its_declared_type(tmp_path, dtype, array, values):
    found = read(tmp_path, dtype, array)
    assert found == values
    assert [type(each) for each in found] == [type(each) for each in values]


@pytest.mark.parametrize(
    ("dtype", "array", "said"),
    [
        (DataType.UNIX_TIMESTAMP, pa.array([None, "2026-01-05"]), "row 1 .*: 2026-01-05 is string, .*to_datetime"),
        (DataType.INT64, pa.array([NOON]), r"row 0 .* is timestamp\[us, tz=UTC\], but int64 is declared: .*whole"),
        (DataType.INT64, pa.array([1.0, 1.5]), r"row 1 .*: 1\.5 is no whole number"),
        (DataType.INT64, pa.array([float("inf")]), "row 0 .*: inf is no whole number"),
        (DataType.INT64, pa.array([2.0**53]), "row 0 .*: 9007199254740992 was written as a float"),
        (DataType.INT64, pa.array(["1"]), "row 0 .*: 1 is string, but int64 is declared"),
        (DataType.STRING, pa.array([7]), "row 0 .*: 7 is int64, but string is declared: write texts"),
        (DataType.FLOAT64, pa.array([True]), "row 0 .*is bool, but float64 is declared: write numbers"),
        (DataType.BOOL, pa.array([1]), "row 0 .*1 is int64, but bool is declared: write booleans"),
        (DataType.UNIX_TIMESTAMP, pa.array([10**15]).cast(pa.timestamp("s")), "row 0 .*no time of a calendar"),
    ],
)
def test_a_column_of_another_type_is_refused_with_its_place_and_the_repair(tmp_path, dtype, array, said):
    with pytest.raises(HistoryError, match=rf"payments\.parquet, column 'value', {said}"):
        read(tmp_path, dtype, array)


def test_what_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "payments.parquet").write_text("event_ms,card\n")
    with pytest.raises(HistoryError, match="can't be read as one Parquet file"):
        History(tmp_path).events(SOURCE)


def test_a_function_may_multiply_a_decimal_by_a_float(tmp_path):
    """It once failed on every event, and every one was left out."""

    def more(row):
        return row | {"more": row["value"] * 1.5}

    view = make_view([Window("sum", "more", HOUR, HOUR)], udf=more, mode="python")
    view = msgspec.structs.replace(view, join_keys=(JoinKey("event_ms", DataType.INT64),))
    plan = Plan(PLAN_FORMAT, "p", "", "", (source_with("value", DataType.FLOAT64),), (view,), (), (), ())
    write(tmp_path, value=pa.array([Decimal("1.50")] * 2, pa.decimal128(38, 2)))
    assert History(tmp_path).view_events(plan, view).floats("more").tolist() == [2.25, 2.25]


class TestUnits:
    """Whole numbers of a time are read by the source's unit, as on the topic."""

    def events(self, folder, **unit):
        seconds = [START_MS // 1_000 + at for at in range(3)]
        pq.write_table(pa.table({"event_ms": seconds, "value": [1, 2, 3]}), folder / "payments.parquet")
        return History(folder).events(msgspec.structs.replace(source_with("value", DataType.INT64), **unit))

    def test_seconds_are_seconds_where_the_tag_says_so(self, tmp_path):
        found = self.events(tmp_path, time_unit="s")
        assert found.event_ms.tolist() == [START_MS + at * 1_000 for at in range(3)]

    def test_seconds_in_a_column_of_milliseconds_are_refused_with_the_unit(self, tmp_path):
        with pytest.raises(HistoryError, match=r"3 of 3 events left out .*'time_unit': 's'"):
            self.events(tmp_path)


class TestBatchSources:
    PROFILE = BatchView(
        "profile",
        (JoinKey("customer", DataType.INT64),),
        (Feature("limit", DataType.INT64), Feature("since", DataType.UNIX_TIMESTAMP)),
    )

    def rows(self, folder, frame, **replaced):
        path = folder / "profile.parquet"
        frame.to_parquet(path)
        return read_batch_rows(msgspec.structs.replace(self.PROFILE, batch_path=str(path), **replaced))

    def frame(self, limits, created=None):
        count = len(limits)
        columns = {
            "customer": pd.array([*CUSTOMERS, None][:count], dtype="Int64"),
            "event_timestamp": [pd.Timestamp(NOON)] * count,
            "limit": pd.array(limits, dtype="Int64"),
            "since": [pd.Timestamp(NOON)] * count,
        }
        return pd.DataFrame(columns if created is None else columns | {"created": created})

    def test_whole_numbers_are_exact_beside_nulls(self, tmp_path):
        rows = self.rows(tmp_path, self.frame([2**63 - 1, 2**63 - 2, None]))
        assert [(*row.entity, row.values[0]) for row in rows] == [
            (CUSTOMERS[0], 2**63 - 1),
            (CUSTOMERS[1], 2**63 - 2),
            (None, None),
        ]
        assert {row.values[1] for row in rows} == {int(NOON.timestamp())}

    def test_of_equal_event_times_the_row_that_was_created_last_comes_last(self, tmp_path):
        created = [pd.Timestamp(NOON) + pd.Timedelta(minutes=at) for at in (2, 1)] + [pd.NaT]
        rows = self.rows(tmp_path, self.frame([200, 100, 50], created), created_timestamp_field="created")
        assert [row.values[0] for row in rows] == [50, 100, 200]

    def test_columns_that_a_field_mapping_renames_are_found(self, tmp_path):
        frame = self.frame([1, 2]).rename(columns={"limit": "lim", "customer": "cust", "event_timestamp": "at"})
        named = {"limit": "lim", "customer": "cust", "event_timestamp": "at"}
        assert [row.values[0] for row in self.rows(tmp_path, frame, file_columns=named)] == [1, 2]

    def test_times_without_a_unit_are_refused(self, tmp_path):
        with pytest.raises(HistoryError, match=r"'event_timestamp', row 0 .*: 0 is a number without a unit"):
            self.rows(tmp_path, self.frame([1, 2]).assign(event_timestamp=range(2)))

    def test_a_source_that_is_missing_is_named(self, tmp_path):
        view = msgspec.structs.replace(self.PROFILE, batch_path=str(tmp_path / "none.parquet"))
        with pytest.raises(HistoryError, match=r"none\.parquet does not exist: .* feature view 'profile'"):
            read_batch_rows(view)
