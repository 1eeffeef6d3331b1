"""Declares what membership needs of the walk: to process batches, and to know where each partition was left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.kafka.record import Record


class Walk(Protocol):
    """The batches of one topic. Its methods wait for the store: not for an event loop, and one at a time."""

    @property
    def topic(self) -> str:
        """Name of the topic."""
        ...

    @property
    def connections_lost(self) -> int:
        """How many connections to the store were lost or given up so far; waits for nothing."""
        ...

    @property
    def next_offsets(self) -> Mapping[int, int]:
        """By partition that was assigned, the first offset that some view does not contain; waits for nothing."""
        ...

    def check_incarnation(self, present: Incarnation) -> None:
        """Compares the topic as it is with the one that is read; waits for nothing.

        Raises:
            ProgressMismatch: it was made anew, or given more partitions.
        """
        ...

    def assign(self, partitions: Mapping[int, int]) -> None:
        """Starts afresh on these partitions, each with the first offset that Kafka retains; writes nothing.

        Raises:
            StoreUnavailable: it can be tried again.
            ProgressMismatch: the topic is not the one that progress was made on, or lacks records since.
        """
        ...

    def begin(self) -> None:
        """Writes, after `assign` and before the first batch, what is computed here from now on."""
        ...

    def process(
        self, batches: Mapping[int, Sequence[Record]], all_sent: Callable[[], None], ends: Mapping[int, int]
    ) -> None:
        """Processes one batch completely: when this returns, `ends` may be committed."""
        ...

    def forget_rows(self) -> None:
        """Drops every row that is kept in the process; waits for nothing."""
        ...

    def has_fallen_back(self) -> bool:
        """Compares progress: whether the store lost what this process had written."""
        ...

    def publish_again(self) -> None:
        """Writes again which definitions are published: no progress tells whether the store lost that."""
        ...
