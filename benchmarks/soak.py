"""Half an hour of steady load: `python -m benchmarks.soak`.

Event time runs faster than the clock, so that within the run every window slides through several times, tiles close and
expire, and rare cards fall silent and come back. Memory and freshness are sampled; their trend is over the second half.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.progress import Progress

from benchmarks.display import progress_display
from benchmarks.freshness_run import stream_through
from benchmarks.machine import this_machine
from benchmarks.plans import EIGHT_BY_THREE
from benchmarks.publish import publish
from benchmarks.report import PLOTS
from benchmarks.soak_report import SoakReport, SoakSample, plot_soak, soak_rows, soak_table
from benchmarks.soak_sampler import Sampler, samples_of
from benchmarks.store_cost import StoreMeter
from benchmarks.stream_load import StreamLoad
from benchmarks.systems import Forebay, Run
from forebay.cli.error_line import error_line
from forebay.local.ports import free_port
from forebay.local.process import ChildProcess
from forebay.local.valkey import Valkey
from tests.kafka.apache_kafka import apache_kafka

_PROBES_PER_S = 50


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


def main(
    minutes: Annotated[float, typer.Option(min=0.5, help="How long.")] = 30.0,
    rate: Annotated[int, typer.Option(min=100, help="Events per second.")] = 5_000,
    cards: Annotated[int, typer.Option(min=1_000, help="Which pay by Zipf's law.")] = 20_000,
    speed: Annotated[float, typer.Option(min=1.0, help="Event time per time on the clock.")] = 120.0,
    every: Annotated[float, typer.Option(min=1.0, help="Seconds between two samples.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure whether memory and latency stay flat, and write the results."""
    with error_line():
        load = StreamLoad(rate, int(minutes * 60), _PROBES_PER_S, cards, event_speed=speed)
        with progress_display() as display:
            samples = run_soak(load, every, display)
        rows = soak_rows(samples)
        plot_soak(samples, PLOTS)
        report = SoakReport(this_machine(), rows, rate, speed, samples)
        publish("soak", report, {"soak": soak_table(rows)}, as_json)


if __name__ == "__main__":
    typer.run(main)
