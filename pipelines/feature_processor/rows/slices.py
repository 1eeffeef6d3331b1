"""Bounds how many rows are folded at a time: a batch of many entities with large rows takes bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from forebay.pipelines.steps.tile_state.row_codec import StoredRow

HELD_BYTES = 64 * 1024 * 1024
"""Of stored rows that are folded together; as much again is held of the rows that come of it."""

FIRST_ROWS = 2_000
"""Before anything is known of their size."""

FEWEST_ROWS = 16


class RowSlices:
    """Cuts entities into runs whose rows take about `HELD_BYTES`, by the sizes of the rows that were read so far."""

    def __init__(self) -> None:
        self._rows = max(FEWEST_ROWS, FIRST_ROWS)

    def __call__(self, entities: int) -> Iterator[range]:
        """Runs of 0 ... n-1, in order; what is learnt of sizes meanwhile counts for the next one."""
        start = 0
        while start < entities:
            run = range(start, min(entities, start + self._rows))
            yield run
            start = run.stop

    def learn(self, rows: Sequence[StoredRow]) -> None:
        """Takes note of the sizes of rows that were read from the store. Grows twofold at most, and shrinks at once."""
        if not rows:
            return
        average = sum(len(field) for row in rows for field in row if field) / len(rows)
        fitting = int(HELD_BYTES / average) if average else 2 * self._rows
        self._rows = max(FEWEST_ROWS, min(fitting, 2 * self._rows))
