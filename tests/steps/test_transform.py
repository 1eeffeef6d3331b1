"""A view's own function: what it may do, and what becomes of the one event it fails on."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.pipelines.contract.plan.views import Udf
from forebay.pipelines.errors import PlanError
from forebay.pipelines.steps.decode.decoder import JsonDecoder
from forebay.pipelines.steps.transform import transform_each, view_transform
from forebay.pipelines.steps.udf import load_udf
from forebay.pipelines.steps.validate import Validator
from tests.oracle import Window
from tests.support.build import MINUTE, SOURCE, START_MS, make_view, record

AMOUNT = [Window("sum", "amount", MINUTE, MINUTE)]


def batch_of(*events):
    """A batch of events given as fields beside time and card."""
    records = [record(at, {"event_ms": START_MS + at, "card": f"c{at}", **each}) for at, each in enumerate(events)]
    batch, errors = Validator(SOURCE)(JsonDecoder(SOURCE)([each.value for each in records]).events)
    assert not errors
    return batch


def run(function, *events, mode="pandas", windows=AMOUNT):
    """(places of the events kept, the aggregated amounts, the errors by place)."""
    kept, errors = transform_each(view_transform(make_view(windows, udf=function, mode=mode)), batch_of(*events))
    amounts = kept.floats("amount").tolist() if len(kept) else []
    return kept.index.tolist(), amounts, {at: str(error) for at, error in errors.items()}


class TestPandas:
    def test_without_a_function_events_stay_as_they_are(self):
        batch = batch_of({"amount": 1})
        assert view_transform(make_view(AMOUNT))(batch) is batch

    def test_it_may_change_and_add_columns(self):
        def double(events):
            return events.assign(amount=events["amount"] * 2, new=1)

        assert run(double, {"amount": 1}, {"amount": None}, {"amount": 3})[1] == [
            2.0,
            pytest.approx(np.nan, nan_ok=True),
            6.0,
        ]

    def test_the_texts_it_makes_may_be_kept_and_nothing_else_in_their_place(self):
        def label(events):
            return events.assign(merchant=[{0: None, 1: "é"}.get(each, each) for each in events["amount"]])

        windows = [Window("last_3", "merchant", MINUTE, MINUTE)]
        batch = batch_of({"amount": 0}, {"amount": 1}, {"amount": 3})
        kept, errors = transform_each(view_transform(make_view(windows, udf=label)), batch)
        assert kept.texts("merchant").tolist() == [None, "é".encode()]
        assert {at: "a text expected, got float" in str(error) for at, error in errors.items()} == {2: True}

    def test_it_may_drop_rows(self):
        assert run(lambda events: events[events["amount"] > 1], {"amount": 1}, {"amount": 2}) == ([1], [2.0], {})

    def test_it_may_drop_all_rows(self):
        assert run(lambda events: events.iloc[:0], {"amount": 1}) == ([], [], {})

    def test_rows_it_reorders_are_put_back_into_order_of_arrival(self):
        """Sums and ties depend on order; a function has no say in it."""
        reordered = run(lambda events: events.iloc[::-1], {"amount": 1}, {"amount": 2}, {"amount": 3})
        assert reordered == ([0, 1, 2], [1.0, 2.0, 3.0], {})

    def test_it_may_drop_the_columns_that_nobody_aggregates(self):
        assert run(lambda events: events[["amount"]], {"amount": 1}) == ([0], [1.0], {})

    def test_row_labels_that_were_lost_are_an_error_not_another_events_values(self):
        """After `reset_index` the values would silently belong to other events."""
        kept, _, errors = run(lambda events: events[1:].reset_index(drop=True), {"amount": 1}, {"amount": 2})
        assert kept == []
        assert all("keep the index" in errors[at] for at in (0, 1))

    def test_foreign_row_labels_are_an_error(self):
        *_, errors = run(lambda events: events.set_axis([7] * len(events)), {"amount": 1})
        assert "keep the index" in errors[0]

    def test_a_changed_join_key_is_an_error(self):
        """The record was routed by the key it came with."""
        *_, errors = run(lambda events: events.assign(card="other"), {"amount": 1})
        assert "changed column 'card'" in errors[0]

    def test_the_time_may_become_a_datetime(self):
        def parse(events):
            import pandas as pd

            return events.assign(event_ms=pd.to_datetime(events["event_ms"], unit="ms"))

        assert run(parse, {"amount": 1}) == ([0], [1.0], {})

    @pytest.mark.parametrize(
        "function",
        [
            lambda events: None,
            lambda events: 1,
            lambda events: events.drop(columns="amount"),
            lambda events: events.assign(amount="many"),
            lambda events: events.assign(amount=[[1]] * len(events)),
            lambda events: 1 / 0,
        ],
        ids=["none", "a number", "no column", "text", "lists", "raises"],
    )
    def test_a_function_that_fails_on_every_event_stops_nothing(self, function):
        kept, _, errors = run(function, {"amount": 1}, {"amount": 2})
        assert (kept, sorted(errors)) == ([], [0, 1])

    @settings(max_examples=30, deadline=None)
    @given(bad=st.sets(st.integers(0, 19)))
    def test_exactly_the_events_it_fails_on_are_given_up(self, bad):
        def pick(events):
            if (events["amount"] < 0).any():
                raise ValueError("negative")
            return events

        kept, _, errors = run(pick, *({"amount": -1 if at in bad else 1} for at in range(20)))
        assert (set(errors), set(kept)) == (bad, set(range(20)) - bad)

    def test_a_function_that_fails_on_events_together_gives_them_all_up(self):
        """No event alone is to blame, and none may be lost in silence."""

        def alone(events):
            if len(events) > 1:
                raise ValueError("one at a time")
            return events

        kept, _, errors = run(alone, {"amount": 1}, {"amount": 2})
        assert (kept, sorted(errors)) == ([], [0, 1])

    def test_types_come_from_the_schema_not_from_the_batch(self):
        """A column of nulls, of some nulls and of none is the same to the function."""
        seen = []
        transform = view_transform(make_view(AMOUNT, udf=lambda events: events))
        for events in (
            [{"amount": None, "items": None}],
            [{"amount": 1, "items": 1, "declined": True}],
            [{"items": 1}, {}],
        ):
            seen.append(batch_of(*events).frame().dtypes.astype(str).tolist())
            transform(batch_of(*events))
        assert seen == [["int64", "object", "object", "float64", "Int64", "boolean"]] * 3

    def test_a_whole_number_beyond_double_precision_stays_exact(self):
        """Beside a null as well."""
        assert batch_of({"items": 2**53 + 1}, {}).frame()["items"][0] == 2**53 + 1

    def test_comparing_a_null_number_is_no_failure(self):
        def late(events):
            return events.assign(amount=(events["amount"] > 15).astype("float64"))

        assert run(late, {"amount": None}) == ([0], [0.0], {})

    @pytest.mark.parametrize("column", ["items", "declined"])
    def test_nullable_whole_numbers_and_booleans_are_aggregated(self, column):
        batch = batch_of({column: 1 if column == "items" else True}, {})
        kept, _ = transform_each(
            view_transform(make_view([Window("sum", column, MINUTE, MINUTE)], udf=lambda events: events)), batch
        )
        np.testing.assert_array_equal(kept.floats(column), [1.0, np.nan])
        np.testing.assert_array_equal(batch.floats(column), [1.0, np.nan])


class TestPython:
    def test_it_gets_and_returns_one_event_as_a_dict(self):
        def double(event):
            return {**event, "amount": event["amount"] * 2}

        assert run(double, {"amount": 1}, {"amount": 2}, mode="python") == ([0, 1], [2.0, 4.0], {})

    def test_times_may_become_datetimes_beside_nulls(self):
        def parse(event):
            from datetime import UTC, datetime

            at = datetime.fromtimestamp(event["event_ms"] / 1_000, UTC)
            return {**event, "event_ms": at, "amount": at if event["amount"] else None}

        kept, amounts, errors = run(parse, {"amount": 1}, {"amount": 0}, mode="python")
        assert (kept, amounts[0], errors) == ([0, 1], START_MS, {})
        assert amounts[1] != amounts[1]

    def test_none_drops_the_event(self):
        def keep(event):
            return event if event["amount"] > 1 else None

        assert run(keep, {"amount": 1}, {"amount": 2}, mode="python") == ([1], [2.0], {})

    def test_dropping_all_is_fine(self):
        assert run(lambda event: None, {"amount": 1}, mode="python") == ([], [], {})

    def test_a_null_is_none(self):
        """Not NaN, and not pandas' NA."""

        def spell(event):
            assert event["amount"] is None
            assert event["items"] is None
            return {**event, "amount": -1.0}

        assert run(spell, {}, mode="python") == ([0], [-1.0], {})

    def test_only_the_event_it_fails_on_is_given_up(self):
        kept, amounts, errors = run(
            lambda event: {**event, "amount": 1 / event["amount"]}, {"amount": 1}, {"amount": 0}, mode="python"
        )
        assert (kept, amounts) == ([0], [1.0])
        assert "ZeroDivisionError" in errors[1]


def test_a_function_that_cannot_be_loaded_is_named():
    with pytest.raises(PlanError, match="'broken'"):
        load_udf(Udf("broken", "pandas", b"garbage", ""))


class TestInfinite:
    """A division by zero must not stay in every window that holds the event."""

    EVENTS = ({"amount": 6, "items": 2}, {"amount": 1, "items": 0}, {"amount": 0, "items": 0})

    @staticmethod
    def per_item(payments):
        return payments.assign(amount=payments["amount"] / payments["items"].astype(float))

    @staticmethod
    def per_item_each(payment):
        return {**payment, "amount": float("inf") if payment["items"] == 0 else payment["amount"] / payment["items"]}

    @pytest.mark.parametrize("function", ["sum", "std", "count_distinct", "last_3"])
    def test_it_makes_a_dead_letter_and_not_a_number_is_null(self, function):
        windows = [Window(function, "amount", MINUTE, MINUTE)]
        kept, amounts, errors = run(self.per_item, *self.EVENTS, windows=windows)
        assert kept == [0, 2]
        assert amounts == [3.0, pytest.approx(np.nan, nan_ok=True)]
        assert "infinite number of column 'amount'" in errors[1]
        assert "tag 'infinite' to 'null'" in errors[1]

    def test_so_it_does_in_python_mode(self):
        kept, amounts, errors = run(self.per_item_each, *self.EVENTS[:2], mode="python")
        assert (kept, amounts, list(errors)) == ([0], [3.0], [1])

    @pytest.mark.parametrize(("function", "mode"), [(per_item, "pandas"), (per_item_each, "python")])
    def test_the_tag_makes_it_null(self, function, mode):
        view = make_view(AMOUNT, udf=function.__func__, mode=mode)
        kept, errors = transform_each(
            view_transform(msgspec.structs.replace(view, infinite="null")), batch_of(*self.EVENTS[:2])
        )
        assert errors == {}
        assert kept.floats("amount").tolist() == [3.0, pytest.approx(np.nan, nan_ok=True)]

    def test_a_column_that_no_window_reads_may_be_infinite(self):
        assert run(lambda events: events.assign(ratio=np.inf), {"amount": 1})[::2] == ([0], {})
