"""Half an hour of steady load.

Event time runs faster than the clock, so that within the run every window slides through several times, tiles close and
expire, and rare cards fall silent and come back. Memory and freshness are sampled; their trend is over the second half.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from rich.progress import Progress

from benchmarks.shared.plans import EIGHT_BY_THREE
from benchmarks.shared.store_cost import StoreMeter
from benchmarks.shared.stream_load import StreamLoad
from benchmarks.shared.stream_run import stream_through
from benchmarks.shared.systems import Forebay, Run
from benchmarks.soak.report import SoakSample
from benchmarks.soak.sampler import Sampler, samples_of
from forebay.local.ports import free_port
from forebay.local.process import ChildProcess
from forebay.local.valkey import Valkey
from tests.kafka.apache_kafka import apache_kafka

PROBES_PER_S = 50


def run_soak(load: StreamLoad, every_s: float, display: Progress) -> list[SoakSample]:
    """Starts the servers, runs the stream, and stops what it started."""
    task = display.add_task(f"{load.rate:,} events/s, event time x {load.event_speed:g}", total=load.seconds)
    port = free_port()
    system = Forebay(EIGHT_BY_THREE, "--metrics-port", str(port))
    with (
        apache_kafka() as kafka,
        Valkey() as store,
        TemporaryDirectory(prefix="forebay-bench-", ignore_cleanup_errors=True) as folder,
    ):
        meter = StoreMeter(store.address)
        sampler = Sampler(meter, port, every_s)

        def watch(process: ChildProcess, elapsed_s: float) -> None:
            sampler(process, elapsed_s)
            display.update(task, completed=max(0, int(elapsed_s)))

        probes = stream_through(
            system, Run("soak", kafka.bootstrap, store.address, "payments", Path(folder)), load, watch
        )
        meter.close()
    return samples_of(sampler.looks, probes)
