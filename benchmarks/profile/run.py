"""Where the feature processor spends its time.

py-spy looks at the processor from outside, a hundred times a second, while it works off a topic. All threads are seen,
waiting for the store included: it is part of a batch's time.
"""

from __future__ import annotations

import shutil
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.progress import Progress

from benchmarks.profile.report import ProfileRow, profile_rows
from benchmarks.profile.stacks import places
from benchmarks.shared.display import completed
from benchmarks.shared.events import PARTITIONS, Distribution, produce_all
from benchmarks.shared.plans import EIGHT_BY_THREE
from benchmarks.shared.rate import STALL_TIMEOUT_S, MeasurementError
from benchmarks.shared.systems import Forebay, Run
from forebay.local.process import ChildProcess, Command, StackError
from forebay.local.topics import create_topics
from forebay.local.valkey import Valkey
from tests.kafka.apache_kafka import apache_kafka

PROFILE = Path(__file__).parents[2] / "docs" / "profile.md"
WORKLOADS: tuple[Distribution, ...] = ("zipf", "unique")
SAMPLES_PER_S = 100
_LOOK_EVERY_S = 0.05


def run_workloads(events: int, seconds: int, display: Progress) -> dict[Distribution, list[ProfileRow]]:
    """Starts the servers, looks at each workload, and stops what it started."""
    rows = {}
    with apache_kafka() as kafka, Valkey() as store:
        for workload in WORKLOADS:
            topic = f"payments.{workload}"
            create_topics(kafka.bootstrap, {topic: PARTITIONS})
            task = display.add_task(f"producing {topic}", total=events)
            produce_all(kafka.bootstrap, topic, workload, events, partial(completed, display, task))
            display.update(task, description=f"{workload}: {seconds} s")
            with TemporaryDirectory(prefix="forebay-bench-", ignore_cleanup_errors=True) as folder:
                run = Run(f"profile_{workload}", kafka.bootstrap, store.address, topic, Path(folder))
                rows[workload] = profile_rows(workload, places(_look(run, seconds)))
    return rows


def _look(run: Run, seconds: int) -> list[str]:
    """The profiler's lines, from the processor's first progress on.

    Raises:
        MeasurementError: there was no progress, or the topic was at its end too soon.
    """
    process, processed = Forebay(EIGHT_BY_THREE).prepare(run)
    try:
        process.start()
        deadline = time.monotonic() + STALL_TIMEOUT_S
        while not processed():
            process.check_running()
            if time.monotonic() > deadline:
                raise MeasurementError(f"no progress after {STALL_TIMEOUT_S:g} s")
            time.sleep(_LOOK_EVERY_S)
        return _record(process, run.folder, seconds)
    finally:
        process.kill()  # measured: nothing needs an orderly end


def _record(process: ChildProcess, folder: Path, seconds: int) -> list[str]:
    """Profiles a process for some time.

    Raises:
        StackError: the profiler is not installed, or may not look at processes.
    """
    samples = folder / "samples.txt"
    how = ("--format", "raw", "--output", str(samples), "--idle", "--rate", str(SAMPLES_PER_S))
    args = (_py_spy(), "record", *how, "--duration", str(seconds), "--pid", str(process.pid))
    profiler = ChildProcess(Command("py-spy", args, folder / "py-spy.log"))
    with profiler:
        while profiler.running:
            process.check_running()
            time.sleep(_LOOK_EVERY_S)
        if not samples.exists():
            profiler.check_running()  # it ended, and its log says why
    return samples.read_text().splitlines()


def _py_spy() -> str:
    """Beside this interpreter, as pip puts it there."""
    beside = Path(sys.executable).with_name("py-spy")
    found = str(beside) if beside.exists() else shutil.which("py-spy")
    if found is None:
        raise StackError("py-spy is not installed: pip install 'forebay[bench]'")
    return found
