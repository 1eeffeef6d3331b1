"""What a peer's process is told, as JSON in its only argument."""

from __future__ import annotations

import sys

import msgspec


class PeerSettings(msgspec.Struct, frozen=True):
    """One run of one peer."""

    brokers: str
    redis: str
    """host:port of the store, for those that write to it."""
    topic: str
    partitions: int
    group: str
    """Consumer group, new for every run: each starts at the topic's beginning."""
    count_file: str
    """Where processed events are counted: a `SharedCount`."""
    folder: str
    """For the peer's own state; removed after the run."""


def peer_settings() -> PeerSettings:
    """The settings of this process."""
    return msgspec.json.decode(sys.argv[1], type=PeerSettings)
