"""Processors that work off a backlog: how fast, and in how much memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.shared.backlogs import Backlog
from benchmarks.shared.events import PARTITIONS
from benchmarks.shared.rate import Rate, rate_of, watch
from benchmarks.shared.store_cost import StoreMeter
from benchmarks.shared.systems import Forebay, Run, forebay_process
from forebay.local.ports import free_port
from forebay.local.process import ChildProcess
from forebay.watch.metrics_page import scrape, total

_SESSION_MS = 3_000
"""Of the group: how soon it notices that another processor has come."""


class Worked(NamedTuple):
    """One run."""

    rate: Rate
    rss_bytes: int
    """Highest, all processors together."""
    store_bytes: int
    """Growth of what the store holds."""
    rows: int
    """Keys in the store afterwards, without those of progress."""


class Processor(NamedTuple):
    """One processor."""

    process: ChildProcess
    metrics: str
    """Address of its page."""

    @property
    def assigned(self) -> int:
        """How many partitions it reads."""
        try:
            return int(total(scrape(self.metrics), "forebay_assigned_partitions"))
        except OSError:
            return 0  # it is starting


class Memory:
    """Watches processes, and remembers the most they ever took together."""

    def __init__(self, processes: Sequence[ChildProcess]) -> None:
        self._processes = processes
        self.highest_bytes = 0

    def look(self) -> None:
        """Raises `StackError` if one of them has ended."""
        for process in self._processes:
            process.check_running()
        taken = sum(psutil.Process(process.pid).memory_info().rss for process in self._processes)
        self.highest_bytes = max(self.highest_bytes, taken)


def work_off(backlog: Backlog, run: Run, seconds: float) -> Worked:
    """Starts the processors on a topic that holds the backlog, and stops them at its end.

    Args:
        seconds: longest time to look, from when all processors read and the state is built up.

    Raises:
        MeasurementError: nothing was processed, or too little to measure.
    """
    plan_file, count = Forebay(backlog.aggregations).deploy(run)
    meter = StoreMeter(run.redis)
    before = meter.used_bytes()
    with ExitStack() as stack:
        stack.callback(meter.close)
        processors = []
        for number in range(backlog.processes):
            processor = _processor(backlog, run, plan_file, number)
            stack.callback(processor.process.kill)  # measured: nothing needs an orderly end
            processor.process.start()
            processors.append(processor)
        memory = Memory([each.process for each in processors])
        steady = _from_when_steady(count, backlog, processors)
        rate = rate_of(watch(steady, len(backlog.events.cards), seconds, memory.look))
        rows = meter.rows() - PARTITIONS
        return Worked(rate, memory.highest_bytes, meter.used_bytes() - before, rows)


def _from_when_steady(count: Callable[[], int], backlog: Backlog, processors: Sequence[Processor]) -> Callable[[], int]:
    """The count, but 0 until the state is built up and every processor has its share of the partitions."""
    share = PARTITIONS // backlog.processes
    all_read = backlog.processes == 1

    def steady() -> int:
        nonlocal all_read
        all_read = all_read or all(each.assigned == share for each in processors)
        found = count()
        return found if all_read and found > backlog.steady_from else 0

    return steady


def _processor(backlog: Backlog, run: Run, plan_file: Path, number: int) -> Processor:
    port = free_port()
    limits = ("--max-batch-records", str(backlog.max_batch_records), "--session-timeout-ms", str(_SESSION_MS))
    more = ("--metrics-port", str(port), *limits)
    folder = run.folder / str(number)
    return Processor(
        forebay_process("process", folder, plan_file, run.brokers, run.redis, *more),
        f"http://127.0.0.1:{port}/metrics",
    )
