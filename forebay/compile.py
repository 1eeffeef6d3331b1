"""Compiles the registry, once or after every `feast apply`."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from forebay.feast_process import run_with_feast
from forebay.registry_watch import RegistryWatch
from pipelines.contract.plan import Plan
from pipelines.contract.plan_file import next_generation, read_plan
from pipelines.errors import PlanError

_WATCH_S = 0.5


def compile_plan(repo: Path, out: Path, env: Mapping[str, str] | None = None) -> Plan:
    """Compiles the repository's registry into the plan file, and reads it back.

    Args:
        env: the compiler's whole environment; None: that of this process.

    Raises:
        PlanError: what the compiler said.
    """
    generation = next_generation(out, time.time_ns() // 1_000_000)
    run_with_feast("pipelines.compiler", f"--repo={repo}", f"--out={out}", f"--generation={generation}", env=env)
    return read_plan(out)


def compile_again(repo: Path, out: Path, plan: Plan, console: Console) -> None:
    """Compiles after every `feast apply`, until SIGINT or SIGTERM. A registry that can't be run changes nothing.

    Args:
        plan: as it was compiled last.
        console: told what happens.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    watch = RegistryWatch(repo)
    console.print(f"waiting for `feast apply` in {repo}; Ctrl-C ends it", highlight=False)
    while True:
        time.sleep(_WATCH_S)
        if not watch.changed():
            continue
        try:
            newer = compile_plan(repo, out)
        except PlanError as error:
            console.print(f"error: {error}; the plan stays as it was", style="red", markup=False, highlight=False)
            continue
        if newer.fingerprint != plan.fingerprint:
            plan = newer
            console.print(f"plan {plan.fingerprint} written to {out}", highlight=False)
