"""Writes payments that never happened among those that did, in transactions that are aborted."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from tests.e2e.deployment import Place
from tests.e2e.payments import Payment, never_happened
from tests.e2e.payments_run import outgoing
from tests.faults.broken import HarnessError

PAUSE_S = 0.2
MOST_IN_TRANSACTION = 20
LONGEST_MS = 10_000
"""The brokers abort a transaction then, whatever its producer does: readers wait for its end."""
STOP_S = 30.0


@contextmanager
def aborted_among(place: Place, payments: Sequence[Payment], rng: random.Random) -> Iterator[AbortedTransactions]:
    """Writes and aborts meanwhile; all are aborted at the end.

    Raises:
        HarnessError: none was aborted, or the last one is not.
    """
    made = AbortedTransactions(place, payments, rng)
    made.start()
    try:
        yield made
    finally:
        made.stop()
    if made.is_alive():
        raise HarnessError(f"a transaction was not aborted within {STOP_S:g} s")
    if not made.records:
        raise HarnessError("no transaction was aborted")


class AbortedTransactions(threading.Thread):
    """A producer that lives through what happens to the broker, by a new client each time."""

    def __init__(self, place: Place, payments: Sequence[Payment], rng: random.Random) -> None:
        super().__init__(daemon=True)
        self._topic = place.topic
        self._payments = payments
        self._rng = rng
        self._stopped = threading.Event()
        self._config = {
            "bootstrap.servers": place.brokers,
            "transactional.id": f"aborted.{uuid.uuid4().hex}",
            "transaction.timeout.ms": LONGEST_MS,
            "message.timeout.ms": LONGEST_MS,
            "retry.backoff.ms": 5,
            "log_level": 0,
        }
        self.records = 0
        """Those that were on the topic before their transaction was aborted."""

    def run(self) -> None:
        """Writes and aborts until it is stopped."""
        while not self._stopped.is_set():
            try:
                self._write()
            except KafkaException:
                self._stopped.wait(PAUSE_S)

    def stop(self) -> None:
        """Waits until the last transaction has been aborted, for so long at most."""
        self._stopped.set()
        self.join(STOP_S)

    def _write(self) -> None:
        producer = Producer(self._config)
        producer.init_transactions(LONGEST_MS / 1_000)  # ends what the client before left open
        while not self._stopped.wait(PAUSE_S):
            producer.begin_transaction()
            for each in self._rng.sample(self._payments, self._rng.randrange(1, MOST_IN_TRANSACTION)):
                record = outgoing(each)
                producer.produce(
                    self._topic,
                    never_happened(each),
                    record.key,
                    partition=record.partition,
                    on_delivery=self._delivered,
                )
            producer.flush(LONGEST_MS / 1_000)
            producer.abort_transaction(LONGEST_MS / 1_000)

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        self.records += error is None
