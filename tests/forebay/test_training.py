"""Training rows: what they carry of the event, and which of their columns are the model's input."""

from __future__ import annotations

import json

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from forebay.history.backfill import Training, backfill
from forebay.history.training import feature_columns, training_rows
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.plan.services import FeatureService, ServiceView
from forebay.pipelines.contract.plan.types import Column, DataType
from forebay.pipelines.contract.plan.views import BatchView, Feature, JoinKey
from forebay.pipelines.errors import PlanError
from forebay.pipelines.history.load import History
from forebay.pipelines.history.parquet_columns import HistoryError
from tests.oracle import Window
from tests.support.build import HOUR, SOURCE, START_MS, make_view

IDS = [1239162456494753671, None, 1239162456494753670]
NOON = pd.Timestamp("2026-01-05 12:00", tz="UTC")


def plan_of(key="card", alias="cards", *more):
    """A service over a count per card; `key` is what events call the card."""
    columns = (
        Column("event_ms", DataType.INT64, required=True),
        Column(key, DataType.STRING),
        Column("payment_id", DataType.INT64),
        Column("paid_at", DataType.UNIX_TIMESTAMP),
        *more,
    )
    source = msgspec.structs.replace(SOURCE, columns=columns, key=(key,))
    view = make_view([Window("count", "", HOUR, HOUR)], name="cards", keys=[key])
    used = ServiceView("cards", alias, ("f0",))
    service = FeatureService("risk", (used,), request=(columns[3],), join_keys=(JoinKey(key, DataType.STRING),))
    return Plan(PLAN_FORMAT, "test", "", "", (source,), (view,), (), (), (service,))


def write(folder, key="card", **more):
    table = {
        "event_ms": [START_MS + 2, START_MS + 1, START_MS],
        key: ["a", "a", None],
        "payment_id": pa.array(IDS, pa.int64()),
        "paid_at": pa.array([NOON, None, NOON], pa.timestamp("ns", "UTC")),
    }
    pq.write_table(pa.table(table | more), folder / "payments.parquet")


def rows_of(folder, *plan):
    return training_rows(plan_of(*plan), "risk", "payments", History(folder), lambda _: None)


def test_every_field_of_the_event_is_carried_exactly(tmp_path):
    write(tmp_path)
    rows = rows_of(tmp_path)
    assert rows["payment_id"].tolist() == [IDS[2], pd.NA, IDS[0]]
    assert rows["card"].tolist() == [None, "a", "a"]
    assert rows["paid_at"].tolist() == [int(NOON.timestamp() * 1_000), pd.NA, int(NOON.timestamp() * 1_000)]
    assert rows["event_ms"].tolist() == [START_MS, START_MS + 1, START_MS + 2]
    assert rows["cards__f0"].tolist() == [0.0, 1.0, 2.0]


def test_the_position_of_an_event_is_carried_where_the_history_says_it(tmp_path):
    write(tmp_path, source_partition=[3, 3, None], source_offset=pa.array([2**60 + 1, 7, 6]))
    rows = rows_of(tmp_path)
    assert rows["source_topic"].tolist() == ["payments"] * 3
    assert rows["source_partition"].tolist() == [pd.NA, 3, 3]
    assert rows["source_offset"].tolist() == [6, 7, 2**60 + 1]
    write(tmp_path)
    assert rows_of(tmp_path)[["source_partition", "source_offset"]].isna().all(axis=None)


def test_a_join_key_that_is_named_like_a_feature_is_no_input_of_the_model(tmp_path):
    write(tmp_path, "tenant__user")
    assert feature_columns(rows_of(tmp_path, "tenant__user")) == ["cards__f0"]


def test_a_training_file_says_which_columns_are_the_models_input(tmp_path):
    write(tmp_path, "tenant__user")
    plan = plan_of("tenant__user")
    view = msgspec.structs.replace(plan.stream_views[0], batch_path=str(tmp_path / "cards.parquet"))
    plan = msgspec.structs.replace(plan, stream_views=(view,))
    out = tmp_path / "training.parquet"
    backfill(plan, History(tmp_path), Console(quiet=True), Training("risk", "payments", out))
    assert feature_columns(pd.read_parquet(out)) == ["cards__f0"]
    table = pq.read_table(out)
    assert json.loads(table.schema.metadata[b"PANDAS_ATTRS"])["model_inputs"] == ["cards__f0"]
    assert table["payment_id"].to_pylist() == [IDS[2], None, IDS[0]]


def test_rows_that_lost_the_names_of_the_inputs_are_refused():
    with pytest.raises(HistoryError, match=r"no attribute 'model_inputs': ask for it before"):
        feature_columns(pd.DataFrame({"cards__f0": [1.0]}))


@pytest.mark.parametrize(
    ("key", "alias", "more", "twice"),
    [
        ("cards__f0", "cards", (), "cards__f0"),
        ("card", "cards", (Column("source_topic", DataType.STRING),), "source_topic"),
    ],
)
def test_a_field_that_is_named_like_another_column_of_the_rows_is_refused(tmp_path, key, alias, more, twice):
    write(tmp_path, key, source_topic=["t"] * 3)
    with pytest.raises(PlanError, match=f"would have two columns '{twice}': .* rename the field"):
        rows_of(tmp_path, key, alias, *more)


def test_a_topic_whose_events_can_not_ask_is_refused(tmp_path):
    plan = plan_of()
    source = msgspec.structs.replace(plan.sources[0], columns=plan.sources[0].columns[:3])
    with pytest.raises(PlanError, match=r"events of 'payments' lack fields of feature service 'risk': paid_at"):
        training_rows(
            msgspec.structs.replace(plan, sources=(source,)), "risk", "payments", History(tmp_path), lambda _: None
        )


def test_whole_features_are_whole_beside_nulls(tmp_path):
    key = JoinKey("card", DataType.STRING)
    path = tmp_path / "accounts.parquet"
    stamps = pd.to_datetime([START_MS, START_MS + 2], unit="ms", utc=True)
    accounts = pd.array([2**53 - 1, None], dtype="Int64")
    pd.DataFrame({"card": ["a", "a"], "event_timestamp": stamps, "account": accounts}).to_parquet(path)
    view = BatchView("accounts", (key,), (Feature("account", DataType.INT64),), batch_path=str(path))
    service = FeatureService("risk", (ServiceView("accounts", "accounts", ("account",)),), join_keys=(key,))
    plan = msgspec.structs.replace(plan_of(), batch_views=(view,), services=(service,))
    write(tmp_path)
    rows = training_rows(plan, "risk", "payments", History(tmp_path), lambda _: None)
    assert rows["accounts__account"].tolist() == [pd.NA, 2**53 - 1, pd.NA]
