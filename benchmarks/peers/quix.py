"""Quix Streams: a sum over a tumbling window, its state in RocksDB with a changelog topic, as by default."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from quixstreams import Application
from quixstreams.dataframe.windows import Sum

from benchmarks.peers.settings import peer_settings
from benchmarks.shared_count import SharedCount


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
    payments.tumbling_window(timedelta(hours=1)).agg(total=Sum("amount")).current().update(counted)
    app.run()


if __name__ == "__main__":
    main()
