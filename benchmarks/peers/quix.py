"""Quix Streams: eight aggregations over a tumbling window, in RocksDB with a changelog topic, as by default."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

from quixstreams import Application
from quixstreams.dataframe.windows import Aggregator, Count, Earliest, Latest, Max, Mean, Min, Sum

from benchmarks.peers.settings import peer_settings
from benchmarks.shared.shared_count import SharedCount


class Std(Aggregator):
    """The sample standard deviation, which it does not bring; state is count, sum and sum of squares."""

    def initialize(self) -> list[float]:
        """See `Aggregator.initialize`."""
        return [0, 0.0, 0.0]

    def agg(self, old: list[float], new: Any, timestamp: int) -> list[float]:  # noqa: ARG002 -- its interface
        """See `Aggregator.agg`."""
        value = new[self.column]
        return [old[0] + 1, old[1] + value, old[2] + value * value]

    def result(self, value: list[float]) -> float | None:
        """See `Aggregator.result`."""
        count, total, squares = value
        return math.sqrt(max(squares - total * total / count, 0.0) / (count - 1)) if count > 1 else None


def main() -> None:
    """Processes until it is killed."""
    settings = peer_settings()
    count = SharedCount(Path(settings.count_file))

    def counted(_value: Any) -> None:
        count.add(1)

    app = Application(
        broker_address=settings.brokers,
        consumer_group=settings.group,
        auto_offset_reset="earliest",
        state_dir=Path(settings.folder) / "state",
        loglevel="WARNING",
    )
    payments = app.dataframe(app.topic(settings.topic, value_deserializer="json"))
    windows = payments.tumbling_window(timedelta(hours=1)).agg(
        count=Count(),
        total=Sum("amount"),
        mean=Mean("amount"),
        smallest=Min("amount"),
        largest=Max("amount"),
        std=Std("amount"),
        first=Earliest("amount"),
        last=Latest("amount"),
    )
    windows.current().update(counted)
    app.run()


if __name__ == "__main__":
    main()
