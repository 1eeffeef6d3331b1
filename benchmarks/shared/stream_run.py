"""One system under a steady stream: when each probe was due, sent, and seen in the store."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from benchmarks.shared.events import PARTITIONS
from benchmarks.shared.plans import CARD, HEAD_FIELD
from benchmarks.shared.rate import MeasurementError
from benchmarks.shared.row_watcher import DRAIN_S
from benchmarks.shared.schedule import now_us
from benchmarks.shared.stream_load import PROBE_CARDS, StreamLoad, timeline
from benchmarks.shared.stream_producer import new_producer, send
from benchmarks.shared.stream_settings import StreamSettings
from benchmarks.shared.systems import Run, System
from forebay.local.process import ChildProcess, Command
from forebay.local.topics import create_topics
from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder
from forebay.pipelines.steps.arrays import Ints

START_TIMEOUT_S = 90.0
_AHEAD_S = 5.0
"""From starting the processes of a stream to its first event: enough for making the schedule of some million events."""
_LOOK_EVERY_S = 0.05


class Probes(NamedTuple):
    """All probes of a run, in the order of their events; times in `now_us`."""

    due_us: Ints
    sent_us: Ints
    """When the producer handed it to its client."""
    seen_us: Ints


Watch = Callable[[ChildProcess, float], None]
"""Called again and again while the stream runs, with the system's process and the seconds since the stream began."""


def stream_through(system: System, run: Run, load: StreamLoad, watch: Watch) -> Probes:
    """Starts the system, lets the stream run to its end, and stops the system.

    Raises:
        MeasurementError: a probe's row was not seen, or the system did not begin.
        StackError: one of the processes ended early.
    """
    create_topics(run.brokers, {run.topic: PARTITIONS})
    process, _ = system.prepare(run)
    try:
        process.start()
        _wait_until_it_works(run, load, process)
        start_us = now_us() + int((_AHEAD_S + load.count / 2e6) * 1e6)
        line = timeline(load, start_us, now_us(), time.time_ns() // 1_000_000)
        settings = StreamSettings(run.brokers, run.redis, run.topic, run.name, load, line, str(run.folder))
        _run_stream(settings, process, watch)
    finally:
        process.kill()  # measured: nothing needs an orderly end
    due_us = np.array([line.schedule(load).due_us(at) for at in load.probe_events().tolist()])
    probes = Probes(due_us, np.load(settings.sent_file), np.load(settings.seen_file))
    if missing := int((probes.seen_us < 0).sum()):
        raise MeasurementError(
            f"{run.name}: {missing} of {len(due_us)} rows were not there {DRAIN_S:g} s after the stream's end: "
            f"give fewer events (--rate)"
        )
    return probes


def _run_stream(settings: StreamSettings, system: ChildProcess, watch: Watch) -> None:
    schedule = settings.timeline.schedule(settings.load)
    deadline_us = schedule.end_us + int((DRAIN_S + START_TIMEOUT_S) * 1e6)
    producer, watcher = (_child(module, settings) for module in ("stream_producer", "row_watcher"))
    with producer, watcher:
        while producer.running or watcher.running:
            system.check_running()
            if now_us() > deadline_us:
                raise MeasurementError(f"{settings.project}: the stream does not end")
            watch(system, (now_us() - schedule.start_us) / 1e6)
            time.sleep(_LOOK_EVERY_S)
        for child, result in ((producer, settings.sent_file), (watcher, settings.seen_file)):
            if not result.exists():
                child.check_running()  # it ended, and its log says why


def _child(module: str, settings: StreamSettings) -> ChildProcess:
    args = (sys.executable, "-m", f"benchmarks.shared.{module}", msgspec.json.encode(settings).decode())
    return ChildProcess(Command(module, args, Path(settings.folder) / f"{module}.log"))


def _wait_until_it_works(run: Run, load: StreamLoad, process: ChildProcess) -> None:
    """Sends one event of a card of its own, and waits for its row: starting up is not measured."""
    card = load.first_probe_card + PROBE_CARDS
    producer = new_producer(run.brokers, load.linger_ms)
    # As old as the stream's first: it must not make others late.
    send(producer, run.topic, 0, card, timeline(load, 0, 0, time.time_ns() // 1_000_000).first_event_ms)
    producer.flush(START_TIMEOUT_S)
    store = RedisStore(run.redis)
    asked = [(EntityKeyEncoder(CARD, run.name)((card,)), [HEAD_FIELD])]
    deadline = time.monotonic() + START_TIMEOUT_S
    try:
        while store.read(asked) == [[None]]:
            process.check_running()
            if time.monotonic() > deadline:
                raise MeasurementError(f"{run.name}: the first event's row was not there after {START_TIMEOUT_S:g} s")
            time.sleep(_LOOK_EVERY_S)
    finally:
        store.close()
