"""Ctrl-C ends a process that still waits for its broker, however it was started."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.contract.plan import PLAN_FORMAT, Plan
from pipelines.contract.plan_file import write_plan
from tests.build import HOUR, SOURCE, make_view
from tests.oracle import Window

FOREBAY = str(Path(sys.executable).with_name("forebay"))
NOBODY = "127.0.0.1:1"


@pytest.mark.parametrize("ignored", [False, True], ids=["in the foreground", "as a background job of a script"])
def test_a_waiting_process_ends(tmp_path: Path, ignored: bool) -> None:
    """A shell without job control starts background jobs with SIGINT ignored."""
    view = make_view([Window("count", "", HOUR, HOUR)])
    write_plan(Plan(PLAN_FORMAT, "shop", "0" * 16, "", (SOURCE,), (view,), (), (), ()), tmp_path / "plan")
    trap = 'trap "" INT; ' if ignored else ""
    command = f'{trap}exec "$0" process --plan "$1" --brokers {NOBODY} --redis {NOBODY}'
    process = subprocess.Popen(
        ["sh", "-c", command, FOREBAY, tmp_path / "plan"], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "waiting for the broker" in line:
            break
    process.send_signal(signal.SIGINT)
    said = process.stderr.read()
    assert process.wait(10) == 130
    assert "Traceback" not in said
    process.stderr.close()
