"""Backfill against the oracle: features as of each event, from nothing that came after it."""

import tempfile
from pathlib import Path

import dill
import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.history.training import feature_columns, training_rows
from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.plan.services import FeatureService, ServiceView
from forebay.pipelines.contract.plan.types import Column, DataType
from forebay.pipelines.contract.plan.views import BatchView, Feature, JoinKey, OnDemandInput, OnDemandView, Policy, Udf
from forebay.pipelines.errors import PlanError
from forebay.pipelines.feature_processor.rows.view_rows import RowPlace
from forebay.pipelines.feature_processor.rows.writer import ReadEvents, ViewWriter
from forebay.pipelines.history.as_of import ViewHistory
from forebay.pipelines.history.batch_source import batch_places, write_batch_source
from forebay.pipelines.history.load import History
from forebay.pipelines.history.parquet_columns import HistoryError
from forebay.pipelines.steps.decode.decoder import event_type
from forebay.pipelines.steps.validate import Validator
from forebay.serving.features.assemble import FeatureAssembler
from forebay.serving.features.read import FeatureReader, stored_views
from forebay.serving.features.request import ScoringRequest
from tests.oracle import Event, Window
from tests.support.build import (
    EVERY_FUNCTION,
    HOUR,
    MINUTE,
    SECOND,
    SOURCE,
    START_MS,
    expected,
    make_view,
    rows_of,
    same,
)

moderately = settings(max_examples=50, deadline=None)

TOTAL, COUNT = Window("sum", "amount", HOUR, 5 * MINUTE), Window("count", "", HOUR, 5 * MINUTE)
CARDS = make_view(EVERY_FUNCTION)
PAIRS = make_view(
    [TOTAL, COUNT, Window("time_since_last", "items", HOUR, HOUR)], name="pairs", keys=["card", "merchant"]
)
MERCHANTS = make_view([TOTAL, COUNT, Window("last", "declined", HOUR, MINUTE)], name="merchants", keys=["merchant"])
STALE_AFTER_MS = 20 * MINUTE
RECENT = make_view([TOTAL, COUNT], name="recent", ttl_ms=STALE_AFTER_MS)
AGGREGATED = ("amount", "items", "declined", "merchant")
VIEWS = (CARDS, PAIRS, MERCHANTS, RECENT)


def share(inputs):
    return {"share": [a / b if a and b else None for a, b in zip(inputs["amount"], inputs["f0"], strict=True)]}


SHARE = OnDemandView(
    "shares",
    (OnDemandInput("amount", "", DataType.FLOAT64), OnDemandInput("f0", "pairs", DataType.FLOAT64)),
    (Feature("share", DataType.FLOAT64, missing=Policy("default", -1.0)),),
    Udf("share", "python", dill.dumps(share, recurse=True), ""),
)
SERVICE = FeatureService(
    "risk",
    (
        *(ServiceView(view.name, view.name, tuple(each.name for each in view.features)) for view in VIEWS),
        ServiceView("shares", "shares", ("share",)),
    ),
    request=(Column("amount", DataType.FLOAT64),),
    join_keys=(JoinKey("card", DataType.STRING), JoinKey("merchant", DataType.STRING)),
)
PLAN = Plan(PLAN_FORMAT, "test", "ab" * 8, "", (SOURCE,), VIEWS, (), (SHARE,), (SERVICE,))

instants = st.one_of(
    st.integers(0, 10).map(lambda at: START_MS + at * SECOND),
    st.integers(0, 40).map(lambda at: START_MS + at * 5 * MINUTE),
    st.integers(0, 3 * HOUR).map(lambda at: START_MS + at),
)
payments = st.fixed_dictionaries(
    {
        "event_ms": instants,
        "card": st.sampled_from(["a", "b", None]),
        "merchant": st.sampled_from(["x", "y", None]),
        "amount": st.one_of(st.none(), st.just(0.1), st.floats(-1e6, 1e6, allow_nan=False)),
        "items": st.one_of(st.none(), st.integers(-(2**60), 2**60)),
        "declined": st.sampled_from([True, False, None]),
    }
)
histories = st.lists(payments, min_size=1, max_size=40)


def write_history(folder, rows):
    frame = pd.DataFrame(rows, columns=[column.name for column in SOURCE.columns])
    types = {"event_ms": "Int64", "items": "Int64", "amount": "float64", "declined": "boolean"}
    frame.astype(types).to_parquet(folder / "payments.parquet", index=False)


def events_of(view, rows, entity, until_ms):
    """The oracle's events of one entity, in event-time order: those of one millisecond as they are in the file."""
    return [
        Event(str(entity), row["event_ms"], {name: _value(row[name]) for name in AGGREGATED})
        for row in sorted(rows, key=lambda row: row["event_ms"])
        if entity_of(view, row) == entity and row["event_ms"] <= until_ms
    ]


def _value(value):
    return value if value is None or isinstance(value, str) else float(value)


def entity_of(view, row):
    return tuple(row[key.name] for key in view.join_keys)


def oracle(view, rows, entity, at_ms):
    """What the view's definition says; an entity silent for longer than the ttl is as good as unknown."""
    events = [] if None in entity else events_of(view, rows, entity, at_ms)
    if view.ttl_ms and events and at_ms - events[-1].event_ms > view.ttl_ms:
        events = []
    return expected(view, events, at_ms)


@moderately
@given(rows=histories, at_ms=st.lists(instants, min_size=1, max_size=8))
def test_a_view_is_known_as_of_any_time_and_any_entity(rows, at_ms):
    with tempfile.TemporaryDirectory() as folder:
        write_history(Path(folder), rows)
        for view in VIEWS:
            history = ViewHistory(view, History(Path(folder)).view_events(PLAN, view))
            entities = [*{entity_of(view, row) for row in rows}, ("z",) * len(view.join_keys)]
            for entity in entities:
                found = history.as_of(history.codes([entity] * len(at_ms)), np.array(at_ms), view.ttl_ms)
                same(rows_of(found.values), [oracle(view, rows, entity, at) for at in at_ms])


@moderately
@given(rows=histories)
def test_a_batch_source_has_each_events_features_as_of_the_event(rows):
    with tempfile.TemporaryDirectory() as folder:
        write_history(Path(folder), rows)
        for view in VIEWS:
            view = msgspec.structs.replace(view, batch_path=f"{folder}/{view.name}.parquet")
            count = write_batch_source(PLAN, view, History(Path(folder)), Path(view.batch_path), lambda _: None)
            frame = pd.read_parquet(view.batch_path)
            known = [row for row in rows if None not in entity_of(view, row)]
            assert count == len(frame) == len(known)
            times = frame["event_timestamp"].dt.as_unit("ms").astype("int64").tolist()
            assert times == sorted(row["event_ms"] for row in known)
            for *entity, at, values in zip(
                *(frame[key.name] for key in view.join_keys),
                times,
                frame[[each.name for each in view.features]].itertuples(index=False, name=None),
                strict=True,
            ):
                # As of an event: the batch source is not concerned with staleness.
                same(values, expected(view, events_of(view, rows, tuple(entity), at), at))


@moderately
@given(rows=histories)
def test_training_rows_are_point_in_time_correct(rows):
    with tempfile.TemporaryDirectory() as folder:
        write_history(Path(folder), rows)
        frame = training_rows(PLAN, "risk", "payments", History(Path(folder)), lambda _: None)
    ordered = sorted(rows, key=lambda row: row["event_ms"])
    assert frame["event_ms"].tolist() == [row["event_ms"] for row in ordered]
    for row, (_, found) in zip(ordered, frame.iterrows(), strict=True):
        for view in VIEWS:
            wanted = oracle(view, rows, entity_of(view, row), row["event_ms"])
            same([found[f"{view.name}__{each.name}"] for each in view.features], wanted)
        total, amount = found["pairs__f0"], row["amount"]
        assert found["shares__share"] == (amount / total if amount and total else -1.0)


@moderately
@given(rows=histories, cut=st.integers(0, 40))
def test_what_comes_later_changes_no_earlier_row(rows, cut):
    rows = sorted(rows, key=lambda row: row["event_ms"])
    known = [row for row in rows if row["event_ms"] <= rows[cut % len(rows)]["event_ms"]]
    frames = []
    for part in (known, rows):
        with tempfile.TemporaryDirectory() as folder:
            write_history(Path(folder), part)
            frames.append(training_rows(PLAN, "risk", "payments", History(Path(folder)), lambda _: None))
    names = feature_columns(frames[0])
    same(frames[0][names], frames[1][names].iloc[: len(known)])


@moderately
@given(rows=st.lists(payments, min_size=1, max_size=25, unique_by=lambda row: row["event_ms"]))
def test_training_rows_equal_what_is_served_when_the_same_events_stream_in(rows):
    """Event by event: written to a store, read back and assembled by the scoring path, as of the event's time."""
    rows = sorted(rows, key=lambda row: row["event_ms"])
    store = MemoryStore()
    writers = [ViewWriter(view, RowPlace(PLAN.project, "payments", store)) for view in VIEWS]
    assembler = FeatureAssembler(PLAN, SERVICE, FeatureReader(PLAN, stored_views(PLAN, SERVICE), store))
    make, validate = event_type("Event", SOURCE.columns), Validator(SOURCE)
    served = []
    for offset, row in enumerate(rows):
        batch, _ = validate([make(**row)])
        for writer in writers:
            writer.write([ReadEvents(0, batch, np.array([offset]))], Incarnation("payments", "x", 1), True)
        served.append(assembler.assemble([ScoringRequest(row, row["event_ms"])]).columns)
    with tempfile.TemporaryDirectory() as folder:
        write_history(Path(folder), rows)
        frame = training_rows(PLAN, "risk", "payments", History(Path(folder)), lambda _: None)
    names = feature_columns(frame)
    assert names == list(served[0])
    same(frame[names], [[columns[name][0] for name in names] for columns in served])


class TestHistory:
    def test_batch_views_are_read_as_of_the_row_until_their_ttl(self, tmp_path):
        path = tmp_path / "profile.parquet"
        stamps = pd.to_datetime([START_MS + HOUR, START_MS], unit="ms", utc=True)
        pd.DataFrame({"card": ["a", "a"], "event_timestamp": stamps, "limit": [20, 10]}).to_parquet(path)
        profile = BatchView(
            "profile", (JoinKey("card", DataType.STRING),), (Feature("limit", DataType.INT64),), 2 * HOUR, str(path)
        )
        service = FeatureService(
            "limits", (ServiceView("profile", "profile", ("limit",)),), join_keys=(JoinKey("card", DataType.STRING),)
        )
        plan = msgspec.structs.replace(PLAN, batch_views=(profile,), services=(service,))
        offsets = (-1, 0, HOUR - 1, HOUR, 3 * HOUR, 3 * HOUR + 1)
        nothing = dict.fromkeys(("merchant", "amount", "items", "declined"))
        write_history(tmp_path, [{"event_ms": START_MS + at, "card": "a", **nothing} for at in offsets])
        frame = training_rows(plan, "limits", "payments", History(tmp_path), lambda _: None)
        same(frame["profile__limit"].astype("float64"), [None, 10, 10, 20, 20, None])

    def test_events_that_the_stream_would_refuse_are_left_out(self, tmp_path):
        nothing = dict.fromkeys(("card", "merchant", "amount", "items", "declined"))
        times = (START_MS, None, -1, START_MS * 1_000_000, START_MS + 1)
        write_history(tmp_path, [{"event_ms": at, **nothing} for at in times])
        frame = training_rows(PLAN, "risk", "payments", History(tmp_path, max_left_out=1), lambda _: None)
        assert frame["event_ms"].tolist() == [START_MS, START_MS + 1]

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(HistoryError, match=r"payments\.parquet does not exist: .*one Parquet file per topic"):
            training_rows(PLAN, "risk", "payments", History(tmp_path), lambda _: None)

    def test_a_file_without_a_column_of_the_schema_is_refused(self, tmp_path):
        pd.DataFrame({"event_ms": [START_MS]}).to_parquet(tmp_path / "payments.parquet")
        with pytest.raises(HistoryError, match="lacks the columns card, merchant, amount"):
            training_rows(PLAN, "risk", "payments", History(tmp_path), lambda _: None)

    def test_a_history_without_a_usable_event_is_refused(self, tmp_path):
        write_history(tmp_path, [])
        with pytest.raises(HistoryError, match=r"payments\.parquet"):
            training_rows(PLAN, "risk", "payments", History(tmp_path), lambda _: None)

    def test_a_view_without_batch_source_says_what_to_declare(self):
        with pytest.raises(PlanError, match="'card_activity' has no batch source: give its source a FileSource"):
            batch_places(PLAN)
