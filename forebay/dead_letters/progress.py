"""A replay with a progress bar."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from forebay.dead_letters.replay import Outlook, Place, outlook, replay
from forebay.dead_letters.selection import Selection


def replay_with_progress(place: Place, selection: Selection, rate: float, console: Console) -> Outlook:
    """`replay`, counted against what an `outlook` before it found. Raises as `replay`."""
    total = outlook(place, selection).sent
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(place.letters, total=total)
        return replay(place, selection, rate, lambda sent: progress.update(task, completed=sent))
