"""What producers send to a site, in the order in which it arrives."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from tests.e2e.broker import PARTITIONS
from tests.e2e.payments import Payment, random_payments

ENOUGH = 10_000
PRODUCER_BATCH, IN_FLIGHT = 12, 5
"""Events of a producer's batch, and batches that may overtake each other."""


class Events:
    """The payments of a seed: the same ones in the same order of arrival, whenever they are sent."""

    def __init__(self, seed: int, send: Callable[[list[Payment]], None]) -> None:
        """Args:
        send: publishes payments at once, in this order.
        """
        self._publish = send
        self._payments = random_payments(random.Random(f"events {seed}"), ENOUGH)
        self._rng = random.Random(f"arrivals {seed}")
        self._last: list[Payment] = []
        self._withheld: list[list[Payment]] = []
        """Batches that come amid the burst after."""

    def burst(self, count: int) -> None:
        """Publishes new events at once, and what of a former burst was not delivered yet."""
        self._send(list(islice(self._payments, count)))

    def burst_with_duplicates(self, count: int) -> None:
        """The same, and half of the burst before once more; where there was none, half of this one."""
        new = list(islice(self._payments, count))
        before = self._last or new
        self._send([*new, *self._rng.sample(before, len(before) // 2)])

    def burst_out_of_order(self, count: int) -> bool:
        """New events by batches that overtake each other, two left for the next burst.

        Returns:
            Whether, within some partition, an event comes after one that was made later.
        """
        made = list(islice(self._payments, count))
        batches = [made[at : at + PRODUCER_BATCH] for at in range(0, count, PRODUCER_BATCH)]
        delays = [self._rng.choice([0.0, self._rng.uniform(0, IN_FLIGHT)]) for _ in batches]
        arriving = [batches[at] for at in sorted(range(len(batches)), key=lambda at: at + delays[at])]
        withheld = [arriving.pop(self._rng.randrange(len(arriving))) for _ in range(min(2, len(arriving) - 1))]
        sent = [payment for batch in arriving for payment in batch]
        self._send(sent)
        self._withheld = withheld
        numbers = {payment.payload: number for number, payment in enumerate(made)}
        overtaken = [*sent, *(payment for batch in withheld for payment in batch)]
        return any(
            not _ascends(numbers[each.payload] for each in overtaken if each.card % PARTITIONS == partition)
            for partition in range(PARTITIONS)
        )

    def _send(self, payments: Sequence[Payment]) -> None:
        arriving = list(payments)
        for batch in self._withheld:
            at = self._rng.randrange(len(arriving) + 1)
            arriving[at:at] = batch
        self._withheld = []
        self._last = arriving
        self._publish(arriving)


def _ascends(numbers: Iterable[int]) -> bool:
    before = -1
    for number in numbers:
        if number < before:
            return False
        before = number
    return True
