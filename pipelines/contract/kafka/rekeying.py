"""Chooses key and partition of routed records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mmh3
import msgspec


def routing_key(values: Sequence[Any]) -> bytes:
    """Returns the Kafka key of a routed record: a JSON list of the join key values."""
    return msgspec.json.encode(list(values))


def routed_partition(key: bytes, partitions: int) -> int:
    """Returns the partition of a routed record. It is computed here, so that the scorer can name it too."""
    return int(mmh3.hash(key, signed=False)) % partitions
