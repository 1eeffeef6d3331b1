"""`forebay backfill` with its progress bars: everything is checked first, and takes its place last."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from forebay.history.training import known_service, training_rows
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.history.batch_source import batch_places, write_batch_source
from forebay.pipelines.history.load import History
from forebay.pipelines.history.new_files import NewFiles
from forebay.serving.worker.build import scored_source


class Training(NamedTuple):
    """The training rows to write."""

    service: str
    topic: str
    """The scored topic, whose events ask for rows."""
    out: Path


def progress_bar(console: Console) -> Progress:
    """Builds a progress bar of rows done, rows expected and time."""
    return Progress(
        TextColumn("{task.description:<42}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def backfill(plan: Plan, history: History, console: Console, training: Training | None = None) -> None:
    """Writes the batch source of every stream view, and training rows; after an error all files are as they were.

    Raises:
        PlanError: a view has no batch source of its own, or the service or topic is unknown.
        HistoryError: a file of history is missing or does not fit, or too much of it can't be used.
    """
    places = batch_places(plan)
    counts = {view.name: history.count(plan.source(view.source)) for view in plan.stream_views}
    if training:
        known_service(plan, training.service)
        asked = history.count(scored_source(plan, training.topic))
    try:
        with NewFiles() as files, progress_bar(console) as progress:
            parts = {name: files.part(place) for name, place in places.items()}
            for view in plan.stream_views:
                task = progress.add_task(view.name, total=counts[view.name])
                rows = write_batch_source(
                    plan,
                    view,
                    history,
                    parts[view.name],
                    lambda done, task=task: progress.advance(task, done),  # type: ignore[misc]
                )
                progress.update(task, total=rows, completed=rows)
            if training:
                out = files.part(training.out)
                task = progress.add_task(f"training rows of {training.service}", total=asked)
                found = training_rows(
                    plan, training.service, training.topic, history, lambda done: progress.advance(task, done)
                )
                progress.update(task, total=len(found), completed=len(found))
                found.to_parquet(out, index=False)
    finally:
        print_left_out(history, console)
    if training:
        console.print(f"{len(found):,} training rows written to {escape(str(training.out))}")


def print_left_out(history: History, console: Console) -> None:
    """Prints which events of the history can't be used, and how many are of entities that were forgotten."""
    for where, left_out in history.left_out.items():
        if left_out.count:
            console.print(escape(f"{where}: {left_out}"), highlight=False)
    for where, count in history.forgotten.items():
        if count:
            console.print(escape(f"{where}: {count:,} events of forgotten entities left out"), highlight=False)
