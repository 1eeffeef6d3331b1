"""The measurement of each build, by turns, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from rich.progress import Progress

from benchmarks.scorer.measure import Times
from benchmarks.scorer.report import ScorerRow
from benchmarks.shared.percentiles import percentiles_of
from benchmarks.shared.rate import MeasurementError

_TIMEOUT_S = 300
_HERE = Path(__file__).parents[2]


def run_builds(seconds: float, repeats: int, before: Path | None, display: Progress) -> list[ScorerRow]:
    """One row per build, stage and size.

    Args:
        seconds: of one case of one build in one turn.
        before: another checkout, whose build is measured too.

    Raises:
        MeasurementError: the process of a build failed.
    """
    builds = {"forebay": _HERE} if before is None else {"forebay": _HERE, "before": before.resolve()}
    times: dict[tuple[str, int, str], list[float]] = {}
    task = display.add_task("measuring", total=repeats * len(builds))
    for turn in range(repeats):
        names = list(builds)
        for name in (*names[turn % len(names) :], *names[: turn % len(names)]):
            display.update(task, description=name)
            for each in _measure(builds[name], seconds):
                times.setdefault((each.stage, each.requests, name), []).extend(each.times_us)
            display.advance(task)
    return _rows(times)


def _rows(times: dict[tuple[str, int, str], list[float]]) -> list[ScorerRow]:
    return [
        ScorerRow(stage, requests, build, len(found), *(percentiles_of(found)[at] for at in (0, 2)))
        for (stage, requests, build), found in sorted(times.items(), key=lambda each: each[0][:2])
    ]


def _measure(checkout: Path, seconds: float) -> Sequence[Times]:
    with TemporaryDirectory(prefix="forebay-bench-") as folder:
        # The engine of that checkout, and everything else of this one: both do the same work.
        (Path(folder) / "forebay").symlink_to(checkout / "forebay")
        env = {**os.environ, "PYTHONPATH": os.pathsep.join((folder, str(_HERE)))}
        args = (sys.executable, "-P", "-m", "benchmarks.scorer.measure", folder, str(seconds))
        done = subprocess.run(args, env=env, capture_output=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        raise MeasurementError(f"the build of {checkout} failed: {done.stderr.decode()[-500:]}")
    return msgspec.json.decode(done.stdout, type=list[Times])
