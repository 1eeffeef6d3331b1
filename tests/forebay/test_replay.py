"""Replay: order, keys and pace; publishing itself is tested on a broker."""

import pandas as pd
import pytest

from forebay.history.pace import Pace
from forebay.history.replay import Span, replayed_events
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.types import Column, DataType
from forebay.pipelines.errors import SettingsError
from forebay.pipelines.history.load import History

COLUMNS = (Column("event_ms", DataType.INT64, required=True), Column("who", DataType.STRING))


def plan_of(**keys):
    """Topics by name, each with what it is keyed by."""
    sources = tuple(
        Source(name, name, "nowhere:1", "json", COLUMNS, "event_ms", key, old_times=True) for name, key in keys.items()
    )
    return Plan(PLAN_FORMAT, "p", "0" * 16, "", sources, (), (), (), ())


def write(folder, topic, *events):
    pd.DataFrame(events, columns=["event_ms", "who"]).to_parquet(folder / f"{topic}.parquet", index=False)


class TestOrder:
    def test_topics_are_merged_by_event_time_and_ties_keep_the_order_of_the_plan(self, tmp_path):
        write(tmp_path, "a", (3, "x"), (1, "x"))
        write(tmp_path, "b", (2, "y"), (3, "y"))
        events = replayed_events(plan_of(a=("who",), b=("who",)), History(tmp_path), Span())
        assert [(each.event_ms, each.topic) for each in events] == [(1, "a"), (2, "b"), (3, "a"), (3, "b")]

    def test_a_span_includes_its_start_and_excludes_its_end(self, tmp_path):
        write(tmp_path, "a", *((at, "x") for at in range(6)))
        events = replayed_events(plan_of(a=()), History(tmp_path), Span(2, 4))
        assert [each.event_ms for each in events] == [2, 3]

    def test_a_topic_without_history_is_left_out(self, tmp_path):
        write(tmp_path, "a", (1, "x"))
        assert len(replayed_events(plan_of(a=(), b=()), History(tmp_path), Span())) == 1

    def test_no_history_at_all_is_refused(self, tmp_path):
        with pytest.raises(SettingsError, match=r"<topic>\.parquet"):
            replayed_events(plan_of(a=()), History(tmp_path), Span())

    def test_a_span_without_events_is_refused(self, tmp_path):
        write(tmp_path, "a", (1, "x"))
        with pytest.raises(SettingsError, match="another start or end"):
            replayed_events(plan_of(a=()), History(tmp_path), Span(5, 6))


class TestRecords:
    def published(self, tmp_path, key, who):
        write(tmp_path, "a", (1, who))
        (event,) = replayed_events(plan_of(a=key), History(tmp_path), Span())
        return event

    def test_the_value_is_the_event_with_nulls(self, tmp_path):
        assert self.published(tmp_path, (), None).value == b'{"event_ms":1,"who":null}'

    @pytest.mark.parametrize(
        ("key", "who", "expected"),
        [
            (("who",), "ünï", "ünï".encode()),
            (("who",), None, None),
            ((), "x", None),
            (("event_ms",), "x", b"[1]"),
            (("who", "event_ms"), "x", b'["x",1]'),
        ],
    )
    def test_the_key_keeps_an_entity_together(self, tmp_path, key, who, expected):
        """A text as it is, else a JSON list; a null in it spreads the records."""
        assert self.published(tmp_path, key, who).key == expected


class TestPace:
    def test_event_time_runs_faster_by_the_speed(self):
        pace = Pace(first_event_ms=10_000, started_s=5.0, speed=100.0)
        assert [pace.due_s(each) for each in (10_000, 60_000, 110_000)] == [5.0, 5.5, 6.0]

    def test_at_full_speed_everything_is_due_at_once_and_nothing_is_behind(self):
        pace = Pace(10_000, 5.0, 0)
        assert (pace.due_s(10**12), pace.behind_ms(10_000, 99.0)) == (5.0, 0.0)

    def test_an_event_sent_after_its_time_is_behind_and_one_before_is_not(self):
        pace = Pace(10_000, 5.0, 100.0)
        assert (pace.behind_ms(60_000, 5.75), pace.behind_ms(60_000, 5.25)) == (250.0, 0.0)
