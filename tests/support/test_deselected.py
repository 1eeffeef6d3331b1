"""The closing line of pytest, which the check of a change judges, also where tests run in several processes."""

import subprocess
import sys

import pytest

TESTS = """
import pytest
def test_runs(): pass
def test_left_out(): pass
@pytest.mark.skip
def test_skipped(): pass
"""


@pytest.mark.parametrize("processes", [(), ("-n", "2")], ids=["one process", "two"])
def test_what_did_not_run_is_counted(tmp_path, processes):
    (tmp_path / "test_here.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    options = ("-p", "tests.support.deselected", "-p", "no:cacheprovider", "-k", "not left_out", *processes)
    command = (sys.executable, "-m", "pytest", *options, str(tmp_path))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "1 passed, 1 skipped, 1 deselected" in done.stdout.splitlines()[-1]
