"""Looks at processor and store once per interval while a stream runs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import psutil

from benchmarks.shared.percentiles import percentiles_of
from benchmarks.shared.store_cost import StoreMeter
from benchmarks.shared.stream_run import Probes
from benchmarks.soak.report import SoakSample
from forebay.local.process import ChildProcess
from forebay.watch.metrics_page import scrape, total


class Look(NamedTuple):
    """What was seen at one time."""

    at_s: float
    """Since the stream began."""
    rss_bytes: int
    store_bytes: int
    keys: int
    batches: float
    """Since the processor's start."""


class Sampler:
    """Takes a look when an interval is over; called as `freshness_run.Watch`."""

    def __init__(self, meter: StoreMeter, metrics_port: int, every_s: float) -> None:
        self._meter = meter
        self._page = f"http://127.0.0.1:{metrics_port}/metrics"
        self._every_s = every_s
        self.looks: list[Look] = []

    def __call__(self, process: ChildProcess, elapsed_s: float) -> None:
        """Looks, if it is time."""
        if elapsed_s < len(self.looks) * self._every_s:
            return
        rss = psutil.Process(process.pid).memory_info().rss
        batches = total(scrape(self._page), "forebay_batches_total")
        self.looks.append(Look(elapsed_s, rss, self._meter.process_bytes(), self._meter.rows(), batches))


def samples_of(looks: Sequence[Look], probes: Probes) -> list[SoakSample]:
    """The intervals between two looks, each with the probes that were due in it; those without any are left out."""
    due_s = (probes.due_us - probes.due_us[0]) / 1e6
    samples = []
    for before, look in itertools.pairwise(looks):
        due = (due_s >= before.at_s) & (due_s < look.at_s)
        if not np.any(due):
            continue
        times = percentiles_of(probes.seen_us[due] - probes.due_us[due])
        batches_per_s = (look.batches - before.batches) / (look.at_s - before.at_s)
        samples.append(SoakSample(*look[:4], batches_per_s, times.p50, times.p99))
    return samples
