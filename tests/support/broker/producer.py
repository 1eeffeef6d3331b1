"""A producer of the fake broker, with transactions or without."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from tests.support.broker.group import Membership, Place
from tests.support.broker.log import Outcome, Transaction
from tests.support.broker.message import FakeMessage

if TYPE_CHECKING:
    from tests.support.broker.broker import FakeBroker

OnDelivery = Callable[[KafkaError | None, FakeMessage], None]


class FakeProducer:
    """Writes at once; what became of a record is told at the next `poll`, `flush` or end of a transaction."""

    def __init__(self, broker: FakeBroker, config: Mapping[str, Any]) -> None:
        self._broker = broker
        self._id = config.get("transactional.id")
        self._timeout_s = config.get("transaction.timeout.ms", 60_000) / 1e3
        self._deadline_s = 0.0
        self._transaction: Transaction | None = None
        self._written: set[Place] = set()
        self._offsets: dict[str, list[TopicPartition]] = {}
        """By group, what is committed with the transaction."""
        self._reports: list[tuple[OnDelivery, KafkaError | None, FakeMessage]] = []

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        *,
        partition: int = -1,
        headers: Sequence[tuple[str, bytes | None]] | None = None,
        timestamp: int = 0,
        on_delivery: OnDelivery = lambda *_: None,
    ) -> None:
        with self._broker.changed:
            self._broker.check_failure("produce")
            self._check_not_fenced()
            count = self._broker.partitions(topic)
            if count == 0:
                unknown = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
                self._reports.append((on_delivery, unknown, FakeMessage(topic, partition, -1, key, value)))
                return
            at = partition if partition >= 0 else zlib.crc32(key or b"") % count
            log = self._broker.log(topic, at)
            written_ms = timestamp or time.time_ns() // 1_000_000
            message = FakeMessage(topic, at, log.end, key, value, list(headers) if headers else None, written_ms)
            log.append(message, self._transaction)
            self._written.add((topic, at))
            self._reports.append((on_delivery, None, message))
            self._broker.changed.notify_all()

    def poll(self, timeout: float = 0) -> int:
        reports, self._reports = self._reports, []
        for on_delivery, error, message in reports:
            on_delivery(error, message)
        return len(reports)

    def flush(self, timeout: float = -1) -> int:
        self._broker.check_failure("flush")
        self.poll()
        return len(self)

    def __len__(self) -> int:
        return len(self._reports)

    def init_transactions(self, timeout: float = -1) -> None:
        """Ends the producer that had this name before, and what it left open."""
        assert self._id is not None
        with self._broker.changed:
            self._broker.check_failure("init_transactions")
            former = self._broker.producers.get(self._id)
            if former is not None:  # not its truth: it is as long as its queue
                former.end_transaction(Outcome.ABORTED)
            self._broker.producers[self._id] = self

    def begin_transaction(self) -> None:
        with self._broker.changed:
            self._broker.check_failure("begin_transaction")
            self._check_not_fenced()
            self._transaction, self._written, self._offsets = Transaction(), set(), {}
            self._deadline_s = time.monotonic() + self._timeout_s

    def send_offsets_to_transaction(
        self, offsets: Sequence[TopicPartition], membership: bytes, timeout: float = -1
    ) -> None:
        with self._broker.changed:
            self._broker.check_failure("send_offsets_to_transaction")
            self._check_not_fenced()
            by = Membership.decode(membership)
            self._broker.group(by.group).check(by)
            self._offsets.setdefault(by.group, []).extend(offsets)

    def commit_transaction(self, timeout: float = -1) -> None:
        failed = any(error is not None for _, error, _ in self._reports)
        self.poll()
        with self._broker.changed:
            self._broker.check_failure("commit_transaction")
            self._check_not_fenced()
            if failed:
                lost = KafkaError(KafkaError._INCONSISTENT, "a record was not delivered", txn_requires_abort=True)
                raise KafkaException(lost)
            for group, offsets in self._offsets.items():
                self._broker.group(group).commit(offsets)
            self.end_transaction(Outcome.COMMITTED)

    def abort_transaction(self, timeout: float = -1) -> None:
        self.poll()
        with self._broker.changed:
            self._broker.check_failure("abort_transaction")
            self._check_not_fenced()
            self.end_transaction(Outcome.ABORTED)

    def end_if_overdue(self) -> bool:
        """Aborts a transaction that has taken too long; whether it did, and this producer is of no further use."""
        overdue = self._transaction is not None and time.monotonic() >= self._deadline_s
        if overdue:
            self.end_transaction(Outcome.ABORTED)
        return overdue

    def end_transaction(self, outcome: Outcome) -> None:
        if self._transaction is None:
            return
        self._transaction.outcome = outcome
        for topic, partition in self._written:
            self._broker.log(topic, partition).mark()
        self._transaction, self._written, self._offsets = None, set(), {}
        self._broker.changed.notify_all()

    def _check_not_fenced(self) -> None:
        if self._id is not None and self._broker.producers.get(self._id) is not self:
            raise KafkaException(
                KafkaError(KafkaError._FENCED, "another producer has this transactional.id", fatal=True)
            )
