"""What was fetched and is not processed yet: the next fetch waits for it, so batches grow with the load."""

from __future__ import annotations

import asyncio


class InFlight:
    """Counts the batches of the present epoch. Belongs to one event loop.

    Fetching ahead would hand out one small batch after another, until Faust's stream buffer is full and its
    back-pressure stops all partitions for a second. Records keep arriving in aiokafka's own buffer meanwhile.
    """

    def __init__(self) -> None:
        self.epoch = 0
        """Counts the seeks."""
        self._batches = 0
        self._none = asyncio.Event()
        self._none.set()

    def handed_out(self, batches: int) -> None:
        """So many batches of this epoch are on their way."""
        self._batches += batches
        self._settle()

    def finished(self, epoch: int) -> None:
        """A batch of some epoch was processed, or dropped."""
        if epoch == self.epoch:
            self._batches -= 1
            self._settle()

    def next_epoch(self) -> None:
        """What is on its way was read from a position since given up: nobody waits for it."""
        self.epoch += 1
        self._batches = 0
        self._settle()

    async def none_left(self, timeout_s: float) -> bool:
        """Waits until nothing is in flight; whether that came in time."""
        try:
            await asyncio.wait_for(self._none.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def _settle(self) -> None:
        if self._batches:
            self._none.clear()
        else:
            self._none.set()
