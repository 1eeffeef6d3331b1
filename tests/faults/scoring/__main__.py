"""Many seeds: `python -m tests.faults.scoring --seeds 40 --from 1 --jobs 1`."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from benchmarks.shared.report import RESULTS
from forebay.cli.error_line import error_line
from forebay.pipelines.errors import SettingsError
from tests.e2e.place import compiled_place
from tests.faults.__main__ import NO_STORE
from tests.faults.jobs import run_seeds
from tests.faults.scoring.result import ScoringReport, ScoringResult, report_of
from tests.faults.scoring.run import KEPT, run_seed
from tests.kafka.apache_kafka import unavailable


def main(
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 40,
    first: Annotated[int, typer.Option("--from", min=0, help="The first one; the others follow it.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="How many side by side, each on a broker of its own.")] = 1,
    out: Annotated[Path, typer.Option(help="Where the result is written.")] = RESULTS / "faults-scoring.json",
    resume: Annotated[bool, typer.Option(help="Leave out the seeds that the result has already.")] = False,
) -> None:
    """Run random schedules of faults over scoring on a busy machine; every event must be scored exactly once."""
    console = Console()
    with error_line(), TemporaryDirectory() as folder:
        if reason := unavailable():
            raise SettingsError(reason)
        results = _known(out) if resume else []
        done = {each.seed for each in results}
        wanted = [seed for seed in range(first, first + seeds) if seed not in done]
        load = max(1, (os.cpu_count() or 1) // jobs)
        place = compiled_place(NO_STORE, Path(folder))
        with closing(run_seeds(wanted, jobs, place, partial(run_seed, load=load))) as arriving:
            for result in arriving:
                results.append(result)
                console.print(_line(result), markup=False, highlight=False)
                # After every seed: a run that is ended can be resumed.
                out.write_bytes(msgspec.json.format(msgspec.json.encode(report_of(results)), indent=2) + b"\n")
    report = report_of(results)
    console.print(
        f"{report.passed} of {len(report.seeds)} passed, {report.failed} failed, {report.unjudged} not judged; "
        f"slowest {report.slowest_s:g} s after its last fault, {report.restarts} processes started again; "
        f"{report.compared} predictions compared, {report.newer} of them of a later definition; "
        f"{report.aborted} records of aborted transactions among the events",
        highlight=False,
    )
    sys.exit(1 if report.failed or report.unjudged else 0)


def _known(out: Path) -> list[ScoringResult]:
    if not out.exists():
        return []
    return msgspec.json.decode(out.read_bytes(), type=ScoringReport).seeds


def _line(result: ScoringResult) -> str:
    what = result.failure or result.unjudged
    verdict = f"FAILED: {result.failure}" if result.failure else f"not judged: {result.unjudged}"
    told = f"{verdict}; see {KEPT}/seed-{result.seed}" if what else f"all scored {result.recovered_s:g} s later"
    again = f", {result.restarts} started again" if result.restarts else ""
    return f"seed {result.seed} ({result.seconds:.0f} s: {', '.join(result.faults)}): {told}{again}"


if __name__ == "__main__":
    typer.run(main)
