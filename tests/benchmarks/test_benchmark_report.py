"""The benchmarks' report writer: JSON for programs, tables between a document's markers for people."""

import json

import msgspec
import pytest

from benchmarks.latency.report import LatencyRow, latency_table
from benchmarks.shared.machine import Machine
from benchmarks.shared.report import Report, ReportError, between_markers, write_results, write_table
from benchmarks.stream.report import BASELINE, StreamRow, stream_table

MACHINE = Machine("A Processor", 2, "Linux x86_64", "3.11.7", {"numpy": "2.0"})
STREAM = Report(
    MACHINE,
    [
        StreamRow("forebay", "sum", 120_000.4, 110_000.0, 130_000.0, 3, 990_000),
        StreamRow(BASELINE, "sum", 4_000.0, 3_900.0, 4_100.0, 3, 80_000),
        StreamRow("forebay", "many", 50_000.0, 50_000.0, 50_000.0, 1, 990_000),
    ],
)
LATENCY = Report(MACHINE, [LatencyRow("exactly_once", 1_000, 50_000, 11.04, 20.0, 30.0, 99.96, 0.99999)])
DOCUMENT = """# Title

<!-- stream -->
<!-- /stream -->
between
<!-- latency -->
old
<!-- /latency -->
end
"""


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "benchmarks.md"
    path.write_text(DOCUMENT)
    return path


@pytest.mark.parametrize(("name", "report"), [("stream", STREAM), ("latency", LATENCY)])
def test_the_json_file_holds_the_machine_and_every_row(name, report, tmp_path):
    write_results(name, report, tmp_path / "results")
    text = (tmp_path / "results" / f"{name}.json").read_text()
    assert msgspec.json.decode(text, type=Report[type(report.rows[0])]) == report
    assert set(json.loads(text)) == {"machine", "rows"}


def test_a_row_of_the_stream_file_has_the_fields_its_readers_expect(tmp_path):
    write_results("stream", STREAM, tmp_path)
    row = json.loads((tmp_path / "stream.json").read_text())["rows"][0]
    assert set(row) == {"system", "workload", "events_per_s", "min", "max", "repeats", "events"}


def test_only_what_stands_between_the_markers_changes(document):
    write_table("latency", latency_table(LATENCY.rows), MACHINE, document)
    text = document.read_text()
    before, _, rest = DOCUMENT.partition("old\n")
    assert text.startswith(before)
    assert text.endswith(rest)
    assert "old" not in text
    assert "| exactly_once | 1,000 | 11.0 | 20.0 | 30.0 | 100.0 |" in text
    assert "A Processor, 2 cores, Linux x86_64; Python 3.11.7, numpy 2.0." in text


def test_writing_twice_leaves_what_writing_once_leaves(document):
    write_table("stream", stream_table(STREAM.rows), MACHINE, document)
    once = document.read_text()
    write_table("stream", stream_table(STREAM.rows), MACHINE, document)
    assert document.read_text() == once


def test_every_line_of_the_table_has_as_many_cells_as_its_header(document):
    write_table("stream", stream_table(STREAM.rows), MACHINE, document)
    lines = [line for line in document.read_text().splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(STREAM.rows)
    assert len({line.count("|") for line in lines}) == 1


def test_the_ratio_is_against_stock_faust_on_the_same_workload():
    ratios = {(row[0], row[1]): row[4] for row in stream_table(STREAM.rows).rows}
    assert ratios == {("sum", "forebay"): "30.0", ("sum", BASELINE): "1.0", ("many", "forebay"): "-"}


def test_a_barrier_that_was_missed_once_is_not_shown_as_always_met():
    assert "99.99 %" in latency_table(LATENCY.rows).rows[0]


def test_content_that_looks_like_a_pattern_is_written_as_it_is():
    assert between_markers("<!-- a -->\n<!-- /a -->", "a", "\\1 \\g<0>\n") == "<!-- a -->\n\\1 \\g<0>\n<!-- /a -->"


@pytest.mark.parametrize("text", ["", "<!-- stream -->\n", "<!-- stream -->\n<!-- /stream -->\n" * 2])
def test_a_document_without_exactly_one_pair_of_markers_is_refused_and_left_as_it_is(text, document):
    document.write_text(text)
    with pytest.raises(ReportError, match=r"benchmarks\.md: has [02] pairs of markers"):
        write_table("stream", stream_table(STREAM.rows), MACHINE, document)
    assert document.read_text() == text
