"""`forebay backfill`: all of it is checked before a file changes, and what is left out is said."""

from __future__ import annotations

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from forebay.history.backfill import Training, backfill
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.plan.services import FeatureService, ServiceView
from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.plan.views import BatchView, JoinKey
from forebay.pipelines.errors import PlanError
from forebay.pipelines.history.load import History
from forebay.pipelines.history.new_files import NewFiles
from forebay.pipelines.history.parquet_columns import HistoryError
from tests.oracle import Window
from tests.support.build import HOUR, SOURCE, START_MS, make_view

COUNT = [Window("count", "", HOUR, HOUR)]
OTHER = msgspec.structs.replace(SOURCE, name="refunds", topic="refunds")
BEFORE = b"as it was before"


def plan_in(folder, *views):
    """The views, each with a batch source of its own that was written before."""
    placed = [msgspec.structs.replace(view, batch_path=str(folder / f"{view.name}.parquet")) for view in views]
    for view in placed:
        (folder / f"{view.name}.parquet").write_bytes(BEFORE)
    service = FeatureService(
        "risk", (ServiceView(views[0].name, views[0].name, ("f0",)),), (), (), (JoinKey("card", DataType.STRING),)
    )
    return Plan(PLAN_FORMAT, "test", "", "", (SOURCE, OTHER), tuple(placed), (), (), (service,))


def write_events(folder, topic="payments", amounts=(1.0, 2.0), times=None, items=None):
    count = len(amounts)
    table = {
        "event_ms": pa.array(times or range(START_MS, START_MS + count), pa.int64()),
        "card": ["a"] * count,
        "merchant": ["m"] * count,
        "amount": pa.array(amounts, pa.float64()),
        "items": pa.array(items or [1] * count),
        "declined": [False] * count,
    }
    pq.write_table(pa.table(table), folder / f"{topic}.parquet")


@pytest.fixture
def said(tmp_path):
    with (tmp_path / "said").open("w+") as file:
        yield Console(file=file, width=400), lambda: (tmp_path / "said").read_text()


def fails(event):
    return {**event, "doubled": 2 * event["amount"]} if event["amount"] < 3 else event["none"]


class TestLeftOut:
    def test_every_reason_is_counted_and_said_with_the_first_row(self, tmp_path, said):
        screen, text = said
        view = make_view([Window("sum", "doubled", HOUR, HOUR)], udf=fails, mode="python")
        plan = plan_in(tmp_path, view)
        infinite, late, failing = float("inf"), 4, 5
        amounts = [1.0] * 100
        amounts[3], amounts[failing] = infinite, 3.0
        times = list(range(START_MS, START_MS + 100))
        times[late] = -1
        write_events(tmp_path, amounts=amounts, times=times)
        backfill(plan, History(tmp_path), screen)
        assert (
            "payments: 2 of 100 events left out (1 decode, 1 invalid; the first, row 3: payments: $.amount: inf"
            in text()
        )
        assert (
            "payments, function of view 'card_activity': 1 of 98 events left out (1 transform; the first, row 5"
            in text()
        )
        assert len(pd.read_parquet(tmp_path / "card_activity.parquet")) == 97

    @pytest.mark.parametrize(("share", "refused"), [(0.24, True), (0.25, False), (0.0, True), (1.0, False)])
    def test_a_larger_share_than_allowed_is_an_error(self, tmp_path, said, share, refused):
        plan = plan_in(tmp_path, make_view(COUNT))
        write_events(tmp_path, amounts=(1.0, 1.0, 1.0, float("-inf")))
        if not refused:
            backfill(plan, History(tmp_path, share), said[0])
            return
        with pytest.raises(
            HistoryError, match=r"payments: 1 of 4 events left out .*repair the history, or .*--max-left"
        ):
            backfill(plan, History(tmp_path, share), said[0])
        assert (tmp_path / "card_activity.parquet").read_bytes() == BEFORE

    def test_numbers_out_of_the_declared_range_are_left_out(self, tmp_path):
        write_events(tmp_path, items=pa.array([2**63, 1], pa.uint64()))
        history = History(tmp_path, 1.0)
        assert history.events(SOURCE).values("items") == [1]
        assert history.left_out["payments"].reasons == {"decode": 1}


class TestAllOrNothing:
    def refused(self, plan, folder, training=None, error=HistoryError, match=""):
        with pytest.raises(error, match=match):
            backfill(plan, History(folder), Console(quiet=True), training)
        for view in plan.stream_views:
            assert (folder / f"{view.name}.parquet").read_bytes() == BEFORE
        assert not list(folder.glob("*.part"))

    def plan(self, folder):
        write_events(folder)
        return plan_in(
            folder, make_view(COUNT), msgspec.structs.replace(make_view(COUNT, name="late"), source="refunds")
        )

    def test_a_missing_history_changes_no_batch_source(self, tmp_path):
        self.refused(self.plan(tmp_path), tmp_path, match=r"refunds\.parquet does not exist")

    def test_a_history_that_can_not_be_read_to_its_end_changes_no_batch_source(self, tmp_path):
        plan = self.plan(tmp_path)
        write_events(tmp_path, "refunds", items=["one", "two"])
        self.refused(plan, tmp_path, match=r"refunds\.parquet, column 'items', row 0")

    def test_an_unknown_service_or_topic_changes_no_batch_source(self, tmp_path):
        plan = self.plan(tmp_path)
        write_events(tmp_path, "refunds")
        out = tmp_path / "out.parquet"
        self.refused(plan, tmp_path, Training("risky", "payments", out), PlanError, "no feature service named 'risky'")
        self.refused(plan, tmp_path, Training("risk", "pay", out), PlanError, "no Kafka source has topic 'pay'")
        assert not out.exists()

    def test_a_service_that_can_not_be_trained_changes_no_batch_source(self, tmp_path):
        plan = self.plan(tmp_path)
        write_events(tmp_path, "refunds")
        limits = BatchView("limits", plan.stream_views[0].join_keys, plan.stream_views[0].features)
        service = FeatureService("lim", (ServiceView("limits", "limits", ("f0",)),), join_keys=limits.join_keys)
        plan = msgspec.structs.replace(plan, batch_views=(limits,), services=(service,))
        out = tmp_path / "out.parquet"
        self.refused(plan, tmp_path, Training("lim", "payments", out), match="'limits' has no file as batch source")

    def test_a_folder_in_the_place_of_a_file_is_refused(self, tmp_path):
        plan = self.plan(tmp_path)
        write_events(tmp_path, "refunds")
        self.refused(plan, tmp_path, Training("risk", "payments", tmp_path), match="is a folder")

    def test_two_views_with_one_batch_source_are_refused(self, tmp_path):
        plan = self.plan(tmp_path)
        first, second = plan.stream_views
        shared = msgspec.structs.replace(second, batch_path=first.batch_path)
        plan = msgspec.structs.replace(plan, stream_views=(first, shared))
        with pytest.raises(PlanError, match=r"'late' and 'card_activity' have one batch source, .*of its own"):
            backfill(plan, History(tmp_path), Console(quiet=True))

    def test_a_remote_batch_source_is_refused(self, tmp_path):
        plan = self.plan(tmp_path)
        remote = msgspec.structs.replace(plan.stream_views[0], batch_path="s3://bucket/rows.parquet")
        with pytest.raises(PlanError, match="writes local files only"):
            backfill(msgspec.structs.replace(plan, stream_views=(remote,)), History(tmp_path), Console(quiet=True))

    def test_files_take_their_places_together(self, tmp_path):
        places = [tmp_path / "a", tmp_path / "new" / "b"]
        with NewFiles() as files:
            for place in places:
                files.part(place).write_text(place.name)
            assert not any(place.exists() for place in places)
        assert [place.read_text() for place in places] == ["a", "b"]
