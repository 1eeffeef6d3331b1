"""Runs the compiler in a process of its own, so that Feast is never imported into a long-running one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from pipelines.contract.plan import Plan
from pipelines.contract.plan_file import read_plan
from pipelines.errors import PlanError


def compile_plan(repo: Path, out: Path, env: Mapping[str, str] | None = None) -> Plan:
    """Compiles the repository's registry into the plan file, and reads it back.

    Args:
        env: the compiler's whole environment; None: that of this process.

    Raises:
        PlanError: what the compiler said.
    """
    command = [sys.executable, "-m", "pipelines.compiler", "--repo", str(repo), "--out", str(out)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines()
        said = next((line for line in reversed(lines) if line.startswith("error: ")), result.stderr[-2_000:])
        raise PlanError(said.removeprefix("error: ") or f"the compiler ended with status {result.returncode}")
    return read_plan(out)
