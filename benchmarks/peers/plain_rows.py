"""No system at all, for freshness: each event's row is written as it comes, without windows, fence or progress.

What broker, client, decoder and store allow one Python process.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hiredis
import msgspec
import redis
from confluent_kafka import Consumer

from benchmarks.peers.ceiling import Payment
from benchmarks.peers.settings import peer_settings
from benchmarks.shared.plans import CARD, HEAD_FIELD
from benchmarks.shared.shared_count import SharedCount
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder
from forebay.pipelines.contract.store.row_header import HEADER, ROW_FORMAT

BATCH_RECORDS = 10_000
WAIT_S = 0.001


def main() -> None:
    """Consumes, decodes and writes until it is killed."""
    settings = peer_settings()
    count = SharedCount(Path(settings.count_file))
    decoder = msgspec.json.Decoder(Payment)
    host, _, port = settings.redis.partition(":")
    connection: Any = redis.Redis(host, int(port)).connection_pool.get_connection()
    key, field = EntityKeyEncoder(CARD, settings.group), HEAD_FIELD
    consumer = Consumer(
        {"bootstrap.servers": settings.brokers, "group.id": settings.group, "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([settings.topic])
    while True:
        messages = consumer.consume(BATCH_RECORDS, WAIT_S)
        payments = decoder.decode_lines(b"\n".join(each.value() for each in messages if each.error() is None))
        # A row's header, so that whoever watches the rows finds in it what it looks for.
        rows = {each.card_id: HEADER.pack(ROW_FORMAT, b"", b"", 0, 0, each.event_ms) for each in payments}
        writes: list[tuple[Any, ...]] = [("HSET", key((card,)), field, row) for card, row in rows.items()]
        commands = [hiredis.pack_command(write) for write in writes]
        if commands:
            connection.send_packed_command([b"".join(commands)])
            for _ in commands:
                connection.read_response()
        count.add(len(payments))


if __name__ == "__main__":
    main()
