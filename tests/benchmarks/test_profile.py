"""The profile: py-spy's stacks, summed up by step of the walk and by function."""

import ast
import json
import re

import pytest

from benchmarks.profile.report import SHOWN_FUNCTIONS, function_table, profile_rows, step_table
from benchmarks.profile.run import PROFILE
from benchmarks.profile.stacks import OUTSIDE, STEPS, Place, places
from benchmarks.shared.rate import MeasurementError
from benchmarks.shared.report import RESULTS
from tests.support.payments import ROOT

OURS = re.compile(r"(\S+) \(((?:forebay|pipelines|serving)/\S+)\)")
BATCH = "Thread._bootstrap (threading.py:995);TopicBatches.process (pipelines/feature_processor/membership/app.py:12)"
WRITE = f"{BATCH};ViewRows.send (pipelines/view_rows.py:9);RedisStore.send (pipelines/redis_store.py:3)"
WAITING = "Thread._bootstrap (threading.py:995);_worker (concurrent/futures/thread.py:81) 400"


def test_the_innermost_step_of_a_stack_counts():
    counts = places([f"{WRITE};RowEncoder.writes (pipelines/encode.py:7);join (<string>) 3", f"{WRITE} 2"])
    assert counts == {
        Place("encode: Feast's values and commands", "join (<string>)"): 3,
        Place("write rows: send, wait for the store", "RedisStore.send (pipelines/redis_store.py)"): 2,
    }


def test_lines_of_one_function_count_together():
    counts = places([f"{BATCH};f (a.py:1) 1", f"{BATCH};f (a.py:2) 4"])
    assert counts == {Place("batch, the rest", "f (a.py)"): 5}


def test_waiting_counts_inside_a_batch_only():
    inside = f"{BATCH};wait (threading.py:320) 7"
    asleep = "Thread._bootstrap (threading.py:995);Watchdog._run (forebay/pipelines/process/watchdog.py:9) 100"
    assert sum(places([WAITING, asleep, inside]).values()) == 7


def test_what_is_outside_of_a_batch_is_nobodys_step():
    assert places(["main (run.py:1);unpack (aiokafka/fetcher.py:2) 6"]) == {
        Place(OUTSIDE, "unpack (aiokafka/fetcher.py)"): 6
    }


def test_every_step_is_of_functions_that_are_there():
    """One that was renamed would count as something else."""
    there = {name for file in (ROOT / "pipelines").rglob("*.py") for name in qualified(ast.parse(file.read_text()))}
    assert {name for names in STEPS.values() for name in names} <= there


def test_every_function_of_the_published_profile_is_there():
    """Where one is renamed, the profile has to be measured again: `python -m benchmarks.profile`."""
    rows = json.loads((RESULTS / "profile.json").read_text())["rows"]
    found = {row["function"] for row in rows} | set(re.findall(r"^\| `(.*?)` \|", PROFILE.read_text(), re.MULTILINE))
    ours = [OURS.fullmatch(each) for each in found]
    assert any(ours)
    for name, file in (each.groups() for each in ours if each):
        path = ROOT / file
        assert path.exists(), file
        function = name.split(".<locals>")[0]
        assert function in {*qualified(ast.parse(path.read_text())), "<module>", "<lambda>"}, f"{function} of {file}"


def qualified(tree, prefix=""):
    for each in ast.iter_child_nodes(tree):
        if isinstance(each, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + each.name
            yield from qualified(each, f"{prefix}{each.name}.")


@pytest.mark.parametrize("lines", [[], [WAITING]])
def test_a_profile_of_nothing_is_an_error(lines):
    with pytest.raises(MeasurementError, match="saw nothing"):
        places(lines)


def test_shares_of_a_workload_add_up_and_the_most_time_comes_first():
    lines = [f"{BATCH};f{number} (a.py:1) {number}" for number in range(1, 31)]
    rows = profile_rows("zipf", places(lines))
    assert sum(row.share for row in rows) == pytest.approx(1.0)
    table = function_table(rows)
    assert len(table.rows) == SHOWN_FUNCTIONS
    assert table.rows[0][0] == "`f30 (a.py)`"


def test_the_steps_have_a_column_per_workload():
    rows = [
        *profile_rows("zipf", places([f"{WRITE} 3", f"{BATCH} 1"])),
        *profile_rows("unique", places([f"{WRITE} 1"])),
    ]
    table = step_table(rows)
    assert table.header == ["step", "zipf", "unique"]
    shares = {cells[0]: cells[1:] for cells in table.rows}
    assert shares["write rows: send, wait for the store"] == ["75.0%", "100.0%"]
    assert shares["batch, the rest"] == ["25.0%", "0.0%"]
