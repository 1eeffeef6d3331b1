"""With `--log-format json` everything that a process writes is a JSON object per line, its end included."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from forebay.definitions.topics import needed_topics
from forebay.local.tansu import Tansu
from forebay.local.topics import create_topics
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.plan.plan_file import read_plan, write_plan
from tests.oracle import Window
from tests.support.build import HOUR, SOURCE, make_view
from tests.support.models import write_sum_model

FOREBAY = str(Path(sys.executable).with_name("forebay"))
NOBODY = "127.0.0.1:1"


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    view = make_view([Window("count", "", HOUR, HOUR)])
    write_plan(Plan(PLAN_FORMAT, "shop", "0" * 16, "", (SOURCE,), (view,), (), (), ()), tmp_path / "plan")
    return tmp_path / "plan"


def said(*args: str, until: str = "", then: Mapping[str, Callable[[], object]] | None = None) -> tuple[int, list[str]]:
    """Status and lines of a process that ends by itself, or is interrupted once it has said something.

    Args:
        then: by what it says, what is done the first time.
    """
    do = dict(then or {})
    with subprocess.Popen((FOREBAY, *args), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            for text in [each for each in do if each in line]:
                do.pop(text)()
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


def test_what_librdkafka_says_is_json(payments: Path, valkey: str, tmp_path: Path) -> None:
    """It writes lines of its own to the standard error stream, unless a client is given a logger."""
    write_sum_model(tmp_path / "fraud" / "1", 7, "fraud")
    with Tansu() as broker:
        plan = read_plan(payments / "plan.bin")
        create_topics(broker.bootstrap, needed_topics(plan, 1) | {"payments.predictions": 1})
        scored = (f"--model={tmp_path / 'fraud'}", "--topic=payments.authorised", "--output=payments.predictions")
        addresses = (f"--plan={payments / 'plan.bin'}", f"--brokers={broker.bootstrap}", f"--redis={valkey}")
        options = ("--session-timeout-ms=6000", "--log-format=json")
        _, lines = said(
            *("score", *scored, *addresses, *options), until="Connection refused", then={'"scoring"': broker.kill}
        )
    assert [line for line in lines if not line.startswith("{")] == []
    assert any("rdkafka" in json.loads(line)["event"] for line in lines)


def test_the_error_that_ends_a_process_is_json_too(tmp_path: Path) -> None:
    status, (line,) = said("process", f"--plan={tmp_path / 'none'}", "--log-format=json")
    event = json.loads(line)
    assert status == event["status"] == 2
    assert event["level"] == "critical"
    assert str(tmp_path / "none") in event["event"]


def test_a_crash_is_one_json_line_with_its_traceback(tmp_path: Path) -> None:
    code = (
        "from forebay.cli.error_line import error_line\n"
        "from forebay.pipelines.process.logs import LogFormat, LogSettings, configure_logs\n"
        "configure_logs(LogSettings(LogFormat.JSON))\n"
        "with error_line():\n"
        "    {}['missing']\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    (line,) = done.stderr.splitlines()
    event = json.loads(line)
    assert done.returncode == 1
    assert "KeyError: 'missing'" in event["exception"]
