"""Batches that are scored and not committed: a thread commits them while the next one is read and scored.

Order is kept: batches are committed as they came, and where one fails, those after it fail with it. All that has been
scored while a transaction was under way goes into the next one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from confluent_kafka import TopicPartition

from forebay.pipelines.process.watchdog import WATCHDOG, rest, step
from forebay.serving.worker.batch import Batch
from forebay.serving.worker.commit import Committer

LOOK_S = 0.25
"""Between two signs of life of a thread that waits for the other one."""


class Bounds(NamedTuple):
    """How much may be scored and not committed; a batch that is larger than that is in flight alone."""

    records: int
    size_bytes: int


class InFlight:
    """Commits batches on a thread of its own, in order. All methods are for the scoring thread."""

    def __init__(self, committer: Committer, bounds: Bounds) -> None:
        self._committer = committer
        self._bounds = bounds
        self._changed = threading.Condition()
        self._waiting: deque[Batch] = deque()
        self._committing: Sequence[Batch] = ()
        self._done: list[Batch] = []
        self._failed: list[Batch] = []
        self._error: BaseException | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)
        self._thread.start()

    def put(self, batch: Batch) -> None:
        """Hands over a batch; after one that failed, it counts as failed."""
        with self._changed:
            if self._failed or self._error is not None:
                self._failed.append(batch)
            else:
                self._waiting.append(batch)
            self._changed.notify_all()

    def wait_for_room(self, seconds: float, ahead: bool) -> bool:
        """Waits at most so long until another batch may be scored; tells whether it may.

        Args:
            ahead: whether it may be scored while others are in flight.
        """
        with self._changed:
            return self._changed.wait_for(self._has_room if ahead else self._idle, seconds)

    def drain(self) -> None:
        """Returns once every batch was committed, or has failed."""
        with self._changed:
            while not self._changed.wait_for(self._idle, LOOK_S):
                step("waiting for the commit")

    def committed(self) -> list[Batch]:
        """Batches that were committed since the last call.

        Raises:
            ForebayError: what the committer raised; nothing that is in flight will be committed.
        """
        with self._changed:
            done, self._done = self._done, []
            # Completed batches are returned first; the error is raised at the next call.
            if not done and self._error is not None:
                raise self._error
            return done

    def failed(self) -> list[Batch]:
        """Batches that were not committed, and have to be read again; commits begin anew with what is put next."""
        with self._changed:
            if not self._idle() or self._error is not None:
                return []
            failed, self._failed = self._failed, []
            return failed

    def revoked(self, partitions: set[int]) -> None:
        """Ends what is in flight, as partitions go to another worker: of them nothing that failed is read again."""
        self.drain()
        with self._changed:
            self._failed = [
                each._replace(first={at: offset for at, offset in each.first.items() if at not in partitions})
                for each in self._failed
            ]

    def end(self) -> None:
        """Ends the thread, after what it is committing; what waits is not committed."""
        with self._changed:
            self._failed.extend(self._waiting)
            self._waiting.clear()
            self._ended = True
            self._changed.notify_all()
        while self._thread.is_alive():
            step("waiting for the last commit")
            self._thread.join(LOOK_S)

    def _has_room(self) -> bool:
        held = [*self._committing, *self._waiting]
        records, size_bytes = sum(each.events for each in held), sum(each.size_bytes for each in held)
        return not held or (records < self._bounds.records and size_bytes < self._bounds.size_bytes)

    def _idle(self) -> bool:
        return not self._waiting and not self._committing

    def _run(self) -> None:
        watched = WATCHDOG.watch("committing")
        try:
            with watched.here():
                while self._commit_next():
                    rest()
        finally:
            WATCHDOG.forget(watched)

    def _commit_next(self) -> bool:
        """Commits all that waits, in one go; False at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended)
            if self._ended:
                return False
            batches = self._committing = list(self._waiting)
            self._waiting.clear()
        done, error = False, None
        try:
            done = self._commit(batches)
        except BaseException as raised:  # raised on the scoring thread instead
            error = raised
        with self._changed:
            self._committing = ()
            self._error = error
            if done:
                self._done.extend(batches)
            else:
                self._failed.extend([*batches, *self._waiting])
                self._waiting.clear()
            self._changed.notify_all()
        return error is None

    def _commit(self, batches: Sequence[Batch]) -> bool:
        records = [record for batch in batches for record in batch.records]
        offsets: dict[tuple[str, int], TopicPartition] = {}
        for batch in batches:
            offsets.update({(each.topic, each.partition): each for each in batch.offsets})
        # All batches in flight belong to one stay in the group (see `Member`): the newest metadata is known longest.
        return self._committer.commit(records, list(offsets.values()), batches[-1].membership)
