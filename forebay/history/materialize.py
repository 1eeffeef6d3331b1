"""Runs `forebay materialize`: copies batch views, and no others, to the online store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console
from rich.markup import escape

from forebay.definitions.feast_process import run_with_feast
from forebay.pipelines.contract.store.materialized import Materialized


def materialize(
    repo: Path,
    views: Sequence[str],
    start_ms: int | None,
    end_ms: int,
    env: Mapping[str, str] | None = None,
) -> Materialized:
    """Copies the newest rows of batch views to the store.

    Args:
        views: their names; empty: all of them.
        start_ms: event time to start from; None: where each view was left last time.
        env: the whole environment of Feast; None: that of this process.

    Raises:
        PlanError: a view can't be materialized, with what Feast said.
        StoreUnavailable: the store does not answer.
    """
    start = [] if start_ms is None else [f"--start-ms={start_ms}"]
    said = run_with_feast(
        "forebay.pipelines.compiler.materialize", f"--repo={repo}", f"--end-ms={end_ms}", *start, "--", *views, env=env
    )
    return msgspec.json.decode(said, type=Materialized)


def print_materialized(done: Materialized, console: Console) -> None:
    """Prints which views were copied, and which were left out and why."""
    for each in done.views:
        if each.start_ms == each.end_ms:
            text = f"nothing to do up to {_utc(each.end_ms)}"
        else:
            text = f"event times from {_utc(each.start_ms)} to {_utc(each.end_ms)}"
        console.print(escape(f"{each.view}: {text}"), highlight=False)
    if not done.views:
        console.print("there is no batch view to materialize")
    for view, why in done.left.items():
        console.print(escape(f"{view}: left, {why}"), highlight=False)


def _utc(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
