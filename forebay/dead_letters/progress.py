"""Shows a replay's progress."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from forebay.dead_letters.replay import Outlook, Place, outlook, replay
from forebay.dead_letters.selection import Selection


def replay_with_progress(place: Place, selection: Selection, rate: float, console: Console) -> Outlook:
    """Runs `replay` with a progress bar up to the count of an `outlook` before it. Raises as `replay`."""
    total = outlook(place, selection).sent
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(place.letters, total=total)
        return replay(place, selection, rate, lambda sent: progress.update(task, completed=sent))
