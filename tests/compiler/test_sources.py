"""Sources in a plan: columns from a schema in DDL, durations, lateness, and how long event ids are remembered."""

from datetime import timedelta

import pytest

from forebay.pipelines.compiler.schema import columns_of, duration_ms
from forebay.pipelines.contract.plan.types import EventId
from forebay.pipelines.errors import PlanError
from tests.compiler.definitions import compiled, kafka, stream


def test_the_watermark_delay_is_the_lateness_where_no_tag_is():
    plan = compiled(kafka(watermark_delay_threshold=timedelta(minutes=2)))
    assert plan.sources[0].allowed_lateness_ms == 120_000


@pytest.mark.parametrize(
    ("tags", "window_ms"),
    [
        ({}, 3_600_000),
        ({"allowed_lateness": "2m"}, 120_000),
        ({"allowed_lateness": "0s"}, 3_600_000),
        ({"allowed_lateness": "2m", "event_id_window": "1d"}, 86_400_000),
    ],
)
def test_ids_are_remembered_as_long_as_events_may_be_late_where_no_tag_says_more(tags, window_ms):
    plan = compiled(kafka(tags={"event_id": "note", **tags}))
    assert plan.sources[0].event_id == EventId("note", window_ms)


class TestTimes:
    @pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
    def test_the_unit_of_whole_numbers_is_a_tag(self, unit):
        assert compiled(kafka(tags={"time_unit": unit})).sources[0].time_unit == unit

    def test_without_tags_times_are_milliseconds_and_none_is_old(self):
        source = compiled(kafka()).sources[0]
        assert (source.time_unit, source.old_times) == ("ms", False)

    def test_old_times_are_allowed_by_a_tag(self):
        assert compiled(kafka(tags={"old_times": "allow"})).sources[0].old_times

    @pytest.mark.parametrize(
        ("tags", "message"),
        [
            ({"time_unit": "seconds"}, "'time_unit' is 'seconds'; write 's', 'ms', 'us' or 'ns'"),
            ({"old_times": "yes"}, "'old_times' is 'yes'; write 'allow', or leave it out"),
        ],
    )
    def test_nonsense_is_refused(self, tags, message):
        with pytest.raises(PlanError, match=message):
            compiled(kafka(tags=tags))

    def test_another_unit_is_another_definition(self):
        views = [compiled(stream(source=kafka(tags=tags))).stream_views[0] for tags in ({}, {"time_unit": "s"})]
        assert views[0].fingerprint != views[1].fingerprint


class TestSchema:
    def test_ddl_types_and_not_null(self):
        columns = columns_of(
            "a STRING NOT NULL,`b` bigint , c: long, d float,e double, f boolean, g timestamp, h int", "s"
        )
        assert [column.dtype.value for column in columns] == [
            "string",
            "int64",
            "int64",
            "float32",
            "float64",
            "bool",
            "unix_timestamp",
            "int32",
        ]
        assert [column.required for column in columns] == [True] + [False] * 7

    @pytest.mark.parametrize(
        ("ddl", "message"),
        [
            ("a string, a int", "column 'a' twice"),
            ("a decimal(10,2)", r"'a' has type 'decimal\(10,2\)', which is not supported"),
            ("a array<int>, b int", "'a' has type 'array<int>'"),
            ("a", "'a' in its schema is no column"),
            ("a int,", "'' in its schema is no column"),
            ("1a int", "'1a' can't be read: names are letters, digits and _"),
            (
                "a int, @timestamp timestamp",
                "column '@timestamp' can't be read: .* renames of fields are supported yet",
            ),
            ("`user-id` string not null", "column 'user-id' can't be read: .* send that field under another name"),
        ],
    )
    def test_refuses(self, ddl, message):
        with pytest.raises(PlanError, match=message):
            columns_of(ddl, "source")

    def test_words_of_python_are_names(self):
        assert [column.name for column in columns_of("from string, class int, __x int", "s")] == [
            "from",
            "class",
            "__x",
        ]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [("500ms", 500), ("90s", 90_000), ("30m", 1_800_000), ("2h", 7_200_000), ("1d", 86_400_000)],
    )
    def test_durations(self, text, expected):
        assert duration_ms(text, "tag") == expected

    @pytest.mark.parametrize("text", ["", "5", "-5m", "1.5h", "5 min", "5w"])
    def test_no_durations(self, text):
        with pytest.raises(PlanError, match="is no duration"):
            duration_ms(text, "tag")
