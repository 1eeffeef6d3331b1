"""The Kafka door: reads the scored topic, writes predictions, and commits both in one transaction.

read -> score -> put in flight        on the scoring thread: where batches are full, the next while the last one commits
                     -> commit        on a thread of its own, in order
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import structlog
from confluent_kafka import Message

from forebay.pipelines.adapters import metrics
from forebay.pipelines.errors import StoreUnavailable, TooManyDeadLetters
from forebay.pipelines.process.watchdog import WATCHDOG, step
from forebay.pipelines.steps.dead_letter_limit import Tally, judged
from forebay.serving.worker.batch import Batch, Offsets, earliest, first_offsets, next_offsets
from forebay.serving.worker.clients import KAFKA, Clients
from forebay.serving.worker.commit import AtLeastOnceCommitter, Committer, TransactionalCommitter, TransactionLost
from forebay.serving.worker.dead_letters import attempts
from forebay.serving.worker.in_flight import Bounds, InFlight
from forebay.serving.worker.incarnation import ScoredIncarnation
from forebay.serving.worker.member import POLL_S, JoinAgain, Member, Read
from forebay.serving.worker.outgoing import OutgoingRecord
from forebay.serving.worker.settings import WorkerSettings

log = structlog.get_logger("forebay.score")

RETRY_SECONDS = 0.2


class Worker:
    """Reads, scores and commits batch after batch."""

    def __init__(
        self,
        settings: WorkerSettings,
        score: Callable[[Sequence[Message]], list[OutgoingRecord]],
        clients: Clients = KAFKA,
    ) -> None:
        self._settings = settings
        self._score = score
        self._clients = clients
        self._stopping = False
        self._leaving = False
        self._tally = Tally()

    def stop(self) -> None:
        """Ends `run` once what has been read is committed; safe to call from a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Works until `stop`.

        Raises:
            WorkerFailed: something has to be repaired first.
            RestartNeeded: a restart is needed.
            ProgressMismatch: the topic was deleted and made anew.
            SettingsError: the brokers refuse to let it be read.
            TooManyDeadLetters: nothing of the batch that has them is committed.
        """
        topics = self._clients.topics(self._settings.brokers)
        self._incarnation = ScoredIncarnation(self._settings, topics, topics.incarnation(self._settings.topic))
        self._incarnation.start()
        try:
            with WATCHDOG.watch("scoring").here():
                self._run()
        finally:
            self._incarnation.stop()

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._run_from_last_commit()
            except (JoinAgain, TransactionLost) as error:
                log.warning("joining again, from the last commit", error=str(error))
                time.sleep(RETRY_SECONDS)

    def _run_from_last_commit(self) -> None:
        self._leaving = False
        assigned, revoked = self._incarnation.assigned, self._revoked
        member = self._member = Member(self._settings, assigned, revoked, self._clients.consumer)
        try:
            bounds = Bounds(self._settings.max_in_flight_records, self._settings.max_in_flight_bytes)
            self._in_flight = InFlight(self._committer(member), bounds)
            try:
                member.join()
                self._work()
            finally:
                self._leaving = True
                self._in_flight.end()
        finally:
            member.leave()

    def _committer(self, member: Member) -> Committer:
        if self._settings.delivery == "exactly_once":
            return TransactionalCommitter(self._settings, self._gives_up, self._clients.producer)
        return AtLeastOnceCommitter(self._settings, member.consumer, self._gives_up, self._clients.producer)

    def _gives_up(self) -> bool:
        """Tells whether brokers that do not answer are waited for no longer."""
        return self._stopping or self._leaving

    def _work(self) -> None:
        """Batch after batch, until `stop`; then what is in flight is committed, where the brokers answer."""
        full = False
        while not self._stopping:
            # Where fewer records wait than a batch takes, scoring ahead makes more and smaller batches of them: each
            # has its round trips and its part of a transaction, and the commit comes no sooner.
            if self._in_flight.wait_for_room(POLL_S, ahead=full):
                self._member.resume()
            else:
                self._member.pause()
            read = self._member.read()
            full = len(read.messages) == self._settings.max_batch_records
            self._step(read)
        self._in_flight.drain()
        self._take_note()

    def _step(self, read: Read) -> None:
        """Scores what was read and puts it in flight, or reads it again."""
        self._take_note()
        if failed := self._in_flight.failed():
            # Records after the failed batches are read again too, so that all are scored in order.
            self._tally = failed[0].tally
            self._read_again([*(each.first for each in failed), first_offsets(read.messages)])
        elif read.messages and not self._put(read):
            self._read_again([first_offsets(read.messages)])
        self._member.report_lag()

    def _put(self, read: Read) -> bool:
        """Tells whether the batch is in flight."""
        if not self._incarnation.check(self._member.consumer):
            return False
        records = self._score_until_done(read.messages)
        # Scoring takes time, in which the topic may have been made anew.
        if records is None or not self._incarnation.check(self._member.consumer):
            return False
        before = self._tally
        try:
            judged_letters = attempts(self._settings.topic, read.messages, records)
            self._tally = judged(before, judged_letters, self._settings.dead_letters)
        except TooManyDeadLetters:
            self._in_flight.drain()
            raise
        self._in_flight.put(
            Batch(
                first_offsets(read.messages),
                records,
                self._incarnation.marked(next_offsets(read.messages)),
                read.membership,
                len(read.messages),
                sum(len(each.value or b"") for each in records),
                before,
            )
        )
        return True

    def _take_note(self) -> None:
        """Counts what has been committed. Raises what the committer raised."""
        for batch in self._in_flight.committed():
            metrics.RECORDS.labels(self._settings.topic).inc(batch.events)
            metrics.BATCHES.labels(self._settings.topic).inc()

    def _read_again(self, parts: Iterable[Offsets]) -> None:
        self._member.read_again(earliest(parts))

    def _revoked(self, partitions: set[int]) -> None:
        self._in_flight.revoked(partitions)
        self._incarnation.revoked(partitions)

    def _score_until_done(self, messages: Sequence[Message]) -> list[OutgoingRecord] | None:
        """Scores records, however long the store can't be reached; None if the worker is stopped meanwhile."""
        while not self._stopping:
            step(f"scoring {len(messages)} records from {self._settings.topic}{first_offsets(messages)}")
            try:
                return self._score(messages)
            except StoreUnavailable as error:
                metrics.STORE_RETRIES.labels(self._settings.topic).inc()
                log.warning("batch delayed", error=str(error))
                step("waiting for the store")
                time.sleep(RETRY_SECONDS)
        return None
