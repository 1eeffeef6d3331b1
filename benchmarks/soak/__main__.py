"""Runs the benchmark: `python -m benchmarks.soak`."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmarks.shared.display import progress_display
from benchmarks.shared.machine import this_machine
from benchmarks.shared.publish import publish
from benchmarks.shared.report import PLOTS
from benchmarks.shared.stream_load import StreamLoad
from benchmarks.soak.report import SoakReport, plot_soak, soak_rows, soak_table
from benchmarks.soak.run import PROBES_PER_S, run_soak
from forebay.cli.error_line import error_line


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
        load = StreamLoad(rate, int(minutes * 60), PROBES_PER_S, cards, event_speed=speed)
        with progress_display() as display:
            samples = run_soak(load, every, display)
        rows = soak_rows(samples)
        plot_soak(samples, PLOTS)
        report = SoakReport(this_machine(), rows, rate, speed, samples)
        publish("soak", report, {"soak": soak_table(rows)}, as_json)


if __name__ == "__main__":
    typer.run(main)
