"""Runs code that imports Feast in a process of its own: the import alone takes seconds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

from forebay.pipelines.errors import PlanError, StoreUnavailable

_SHOWN_CHARS = 2_000


def run_with_feast(module: str, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Runs the module with Feast, and returns what it prints.

    Args:
        env: its whole environment; None: that of this process.

    Raises:
        PlanError: what it said.
        StoreUnavailable: the online store did not answer it.
    """
    command = [sys.executable, "-m", module, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if result.returncode == 0:
        return result.stdout
    lines = result.stderr.strip().splitlines()
    said = next((line for line in reversed(lines) if line.startswith("error: ")), result.stderr[-_SHOWN_CHARS:])
    message = said.removeprefix("error: ") or f"{module} ended with status {result.returncode}"
    raise (StoreUnavailable if result.returncode == StoreUnavailable.status else PlanError)(message)
