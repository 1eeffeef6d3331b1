"""Ctrl-C ends a process that still waits for its broker, however it was started."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from forebay.cli.error_line import error_line
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.plan.plan_file import write_plan
from tests.oracle import Window
from tests.support.build import HOUR, SOURCE, make_view

FOREBAY = str(Path(sys.executable).with_name("forebay"))
NOBODY = "127.0.0.1:1"


@pytest.mark.parametrize("ignored", [False, True], ids=["in the foreground", "as a background job of a script"])
def test_a_waiting_process_ends(tmp_path: Path, ignored: bool) -> None:
    """A shell without job control starts background jobs with SIGINT ignored."""
    view = make_view([Window("count", "", HOUR, HOUR)])
    write_plan(Plan(PLAN_FORMAT, "shop", "0" * 16, "", (SOURCE,), (view,), (), (), ()), tmp_path / "plan")
    trap = 'trap "" INT; ' if ignored else ""
    command = f'{trap}exec "$0" process --plan "$1" --brokers {NOBODY} --redis {NOBODY}'
    with subprocess.Popen(
        ["sh", "-c", command, FOREBAY, tmp_path / "plan"], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "waiting for the broker" in line:
                break
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait(10) == 130
        assert "Traceback" not in said


def test_an_interrupt_that_a_library_made_into_something_else_is_one() -> None:
    """Python reports a C function that returned a result although Ctrl-C came as a SystemError caused by it."""
    with pytest.raises(SystemExit) as ended, error_line():
        raise SystemError("returned a result with an exception set") from KeyboardInterrupt()
    assert ended.value.code == 130


def test_an_interrupt_that_upset_a_lock_is_one() -> None:
    def upset() -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("cannot release un-acquired lock")

    with pytest.raises(SystemExit) as ended, error_line():
        upset()
    assert ended.value.code == 130


def test_any_other_error_is_shown() -> None:
    with pytest.raises(RuntimeError, match="a bug"), error_line():
        raise RuntimeError("a bug") from ValueError("no interrupt")
