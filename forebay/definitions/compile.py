"""Compiles the registry, once or after every `feast apply`."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from pathlib import Path

import structlog

from forebay.definitions.feast_process import run_with_feast
from forebay.definitions.registry_watch import RegistryWatch
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.plan_file import next_generation, read_plan
from forebay.pipelines.errors import PlanError

log = structlog.get_logger("forebay.plan")

_WATCH_S = 0.5


def compile_plan(repo: Path, out: Path, env: Mapping[str, str] | None = None) -> Plan:
    """Compiles the repository's registry into the plan file, and reads it back.

    Args:
        env: the compiler's whole environment; None: that of this process.

    Raises:
        PlanError: what the compiler said.
    """
    generation = next_generation(out, time.time_ns() // 1_000_000)
    run_with_feast(
        "forebay.pipelines.compiler", f"--repo={repo}", f"--out={out}", f"--generation={generation}", env=env
    )
    return read_plan(out)


def compile_again(repo: Path, out: Path, plan: Plan) -> None:
    """Compiles after every `feast apply`, until SIGINT or SIGTERM. A registry that can't be run changes nothing.

    Args:
        plan: as it was compiled last.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    watch = RegistryWatch(repo)
    log.info("waiting for `feast apply`", repo=str(repo))
    while True:
        time.sleep(_WATCH_S)
        if not watch.changed():
            continue
        try:
            newer = compile_plan(repo, out)
        except PlanError as error:
            log.error("the plan stays as it was", error=str(error))
            continue
        if newer.fingerprint != plan.fingerprint:
            plan = newer
            log.info("plan written", plan=plan.fingerprint, file=str(out))
