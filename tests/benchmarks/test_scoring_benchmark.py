"""What the benchmark of the scoring worker reports, and which features it scores."""

import pytest

from benchmarks.scoring.cpu_time import CpuTime
from benchmarks.scoring.feature_sets import FEATURE_SETS
from benchmarks.scoring.report import BacklogRow, ScoringLatencyRow, backlog_table, scoring_latency_table
from benchmarks.shared.rate import MeasurementError
from forebay.local.process import ChildProcess, Command


def test_the_feature_sets_have_the_sizes_that_they_are_named_by():
    for size, aggregations in FEATURE_SETS.items():
        assert len({each.name for each in aggregations}) == size


def test_a_backlog_is_one_line_with_rates_times_and_megabytes():
    table = backlog_table([BacklogRow("forebay", 24, 4600.4, 212.3, 6.54, 200_000_000, 60_000)])
    assert table.rows == [["forebay", "24", "4,600", "212", "6.5", "200", "60,000"]]
    assert len(table.header) == len(table.rows[0])


def test_a_latency_is_one_line_with_its_percentiles():
    table = scoring_latency_table([ScoringLatencyRow("before", 24, 1_000, 17.94, 33.3, 59.5, 111.9, 15_000)])
    assert table.rows == [["before", "24", "1,000", "17.9", "33.3", "59.5", "111.9", "15,000"]]
    assert len(table.header) == len(table.rows[0])


def test_a_process_that_made_all_predictions_between_two_looks_is_no_measurement(tmp_path):
    process = ChildProcess(Command("sleep", ("sleep", "10"), tmp_path / "log"))
    with process:
        cpu = CpuTime(process)
        cpu.look(0)
        cpu.look(5)
        with pytest.raises(MeasurementError, match="between two looks"):
            cpu.per_prediction_us()
        cpu.look(6)
        assert cpu.per_prediction_us() >= 0
