"""With `--log-format json` everything that a process writes is a JSON object per line, its end included."""

from __future__ import annotations

import json
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


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    view = make_view([Window("count", "", HOUR, HOUR)])
    write_plan(Plan(PLAN_FORMAT, "shop", "0" * 16, "", (SOURCE,), (view,), (), (), ()), tmp_path / "plan")
    return tmp_path / "plan"


def said(*args: str, until: str = "") -> tuple[int, list[str]]:
    """Status and lines of a process that ends by itself, or is interrupted once it has said something."""
    with subprocess.Popen((FOREBAY, *args), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if until and until in line:
                process.send_signal(signal.SIGINT)
    return process.returncode, lines


def test_a_process_that_waits_for_its_brokers_says_so_in_json(plan_file: Path, valkey: str) -> None:
    """What libraries say is JSON too."""
    addresses = (f"--plan={plan_file}", f"--brokers={NOBODY}", f"--redis={valkey}")
    _, lines = said("process", *addresses, "--log-format=json", until="waiting for the broker")
    events = [json.loads(line) for line in lines]
    assert events
    assert {"event", "level", "timestamp"} <= set.intersection(*map(set, events))


def test_the_error_that_ends_a_process_is_json_too(tmp_path: Path) -> None:
    status, (line,) = said("process", f"--plan={tmp_path / 'none'}", "--log-format=json")
    event = json.loads(line)
    assert status == event["status"] == 2
    assert event["level"] == "critical"
    assert str(tmp_path / "none") in event["event"]


def test_a_crash_is_one_json_line_with_its_traceback(tmp_path: Path) -> None:
    code = (
        "from forebay.error_line import error_line\n"
        "from pipelines.adapters.logs import LogFormat, LogSettings, configure_logs\n"
        "configure_logs(LogSettings(LogFormat.JSON))\n"
        "with error_line():\n"
        "    {}['missing']\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    (line,) = done.stderr.splitlines()
    event = json.loads(line)
    assert done.returncode == 1
    assert "KeyError: 'missing'" in event["exception"]
