"""What was fetched and still keeps the next fetch from beginning, so that batches grow with the load."""

from __future__ import annotations

import asyncio
import itertools


class InFlight:
    """Knows the batches of the present epoch by number. Belongs to one event loop.

    Fetching ahead would hand out one small batch after another, until Faust's stream buffer is full and its
    back-pressure stops all partitions for a second. Records keep arriving in aiokafka's own buffer meanwhile.
    """

    def __init__(self) -> None:
        self.epoch = 0
        """Counts the seeks; a batch of an earlier epoch was read from a position since given up."""
        self.seeking = False
        """Between `begin_seek` and `end_seek`: positions are not to be trusted."""
        self._numbers = itertools.count()
        self._batches: set[int] = set()
        self._none = asyncio.Event()
        self._none.set()

    def hand_out(self) -> int:
        """One more batch of this epoch is on its way; returns its number."""
        number = next(self._numbers)
        self._batches.add(number)
        self._settle()
        return number

    def release(self, number: int) -> None:
        """The next fetch need not wait for this batch any more. It may be said again, and of an earlier epoch's."""
        self._batches.discard(number)
        self._settle()

    def begin_seek(self) -> None:
        """Until `end_seek` nothing is fetched, and what is on its way is of an earlier epoch."""
        self.epoch += 1
        self._batches.clear()
        self.seeking = True
        self._settle()

    def end_seek(self) -> None:
        """Every partition is where it starts."""
        self.seeking = False
        self._settle()

    async def none_left(self, timeout_s: float) -> bool:
        """Waits until nothing is in flight; whether that came in time."""
        try:
            await asyncio.wait_for(self._none.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def _settle(self) -> None:
        if self._batches or self.seeking:
            self._none.clear()
        else:
            self._none.set()
