"""Stock Faust: its own aiokafka transport, and a table of eight aggregations over a tumbling window, in memory."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import faust
from faust.types import StreamT

from benchmarks.peers.settings import peer_settings
from benchmarks.shared.shared_count import SharedCount

WINDOW_S = 3_600.0


class Payment(faust.Record, serializer="json"):
    """The event."""

    card_id: int
    event_ms: int
    amount: float


State = tuple[int, float, float, float, float, float, float]
"""Count, sum, sum of squares, min, max, first, last: mean and standard deviation follow when they are read."""


NO_PAYMENTS: State = (0, 0.0, 0.0, math.inf, -math.inf, 0.0, 0.0)


def added(old: State, amount: float) -> State:
    """The state after one more payment."""
    count, total, squares, smallest, largest, first, _ = old
    return (
        count + 1,
        total + amount,
        squares + amount * amount,
        min(smallest, amount),
        max(largest, amount),
        first if count else amount,
        amount,
    )


def main() -> None:
    """Processes until it is killed."""
    settings = peer_settings()
    count = SharedCount(Path(settings.count_file))
    app = faust.App(
        settings.group,
        broker=f"kafka://{settings.brokers}",
        store="memory://",
        datadir=settings.folder,
        topic_partitions=settings.partitions,
        web_enabled=False,  # it would listen on every address
    )
    table: Any = app.Table("activity", default=lambda: NO_PAYMENTS, partitions=settings.partitions)
    # The producer gave every record its event's time.
    windows = table.tumbling(WINDOW_S).relative_to_stream()

    async def add(payments: StreamT[Payment]) -> None:
        async for payment in payments:
            windows[payment.card_id] = added(windows[payment.card_id].value(), payment.amount)
            count.add(1)

    app.agent(app.topic(settings.topic, value_type=Payment))(add)
    faust.Worker(app, loglevel="WARNING").execute_from_commandline()


if __name__ == "__main__":
    main()
