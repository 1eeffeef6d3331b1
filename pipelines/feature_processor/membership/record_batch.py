"""All records fetched of one topic at once."""

from __future__ import annotations

from typing import NamedTuple

from forebay.pipelines.contract.kafka.record import Record


class RecordBatch(NamedTuple):
    """Records of some partitions of one topic, and up to where they were read."""

    epoch: int
    """Counts the seeks: a batch of an earlier epoch was read from a position since given up."""
    number: int
    """No other batch of this process has it."""
    records: dict[int, list[Record]]
    """By partition that has some."""
    ends: dict[int, int]
    """By partition, the offset after all that was read of it: markers and records of aborted transactions, which no one
    is handed, have offsets too. Has the partitions of `records`, and those where nothing else was read."""

    def __str__(self) -> str:
        return " ".join(f"[{at}]@{some[0].offset}-{some[-1].offset}" for at, some in sorted(self.records.items()))
