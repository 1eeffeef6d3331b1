"""`forebay backfill` with its progress bars."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from forebay.training import training_rows
from pipelines.backfill.batch_source import write_batch_source
from pipelines.backfill.load import count_events
from pipelines.contract.plan import Plan
from serving.build import scored_source


def progress_bar(console: Console) -> Progress:
    """Rows done of rows expected, and the time it took."""
    return Progress(
        TextColumn("{task.description:<42}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def backfill_views(plan: Plan, history: Path, console: Console) -> None:
    """Writes the batch source of every stream view. Raises as `write_batch_source`."""
    with progress_bar(console) as progress:
        for view in plan.stream_views:
            task = progress.add_task(view.name, total=count_events(history, plan.source(view.source)))
            rows = write_batch_source(plan, view, history, lambda done, task=task: progress.advance(task, done))  # type: ignore[misc]
            progress.update(task, total=rows, completed=rows)


def backfill_service(plan: Plan, service: str, topic: str, history: Path, out: Path, console: Console) -> None:
    """Writes training rows of a feature service. Raises as `training_rows`."""
    with progress_bar(console) as progress:
        task = progress.add_task(f"training rows of {service}", total=count_events(history, scored_source(plan, topic)))
        rows = training_rows(plan, service, topic, history, lambda done: progress.advance(task, done))
        progress.update(task, total=len(rows), completed=len(rows))
    out.parent.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(out, index=False)
    console.print(f"{len(rows):,} training rows written to {out}")
