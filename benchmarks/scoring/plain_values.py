"""The values that the plain loop reads."""

from __future__ import annotations

from typing import Any

import redis


def fill(address: str, cards: int, features: list[str]) -> None:
    """Stores a value per feature and card, as a job of the night would."""
    host, _, port = address.partition(":")
    store: Any = redis.Redis(host, int(port))
    for start in range(0, cards, 10_000):
        pipeline = store.pipeline(transaction=False)
        for card in range(start, min(cards, start + 10_000)):
            pipeline.hset(f"plain:{card}", mapping=dict.fromkeys(features, 12.34))
        pipeline.execute()
    store.close()
