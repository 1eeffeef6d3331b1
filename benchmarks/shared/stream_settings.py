"""What the processes around a measured stream are told, as JSON in their only argument."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from benchmarks.shared.stream_load import StreamLoad, Timeline


class StreamSettings(msgspec.Struct, frozen=True):
    """One run."""

    brokers: str
    redis: str
    topic: str
    project: str
    """Rows are keyed by it."""
    load: StreamLoad
    timeline: Timeline
    folder: str
    """Where results go."""

    @property
    def sent_file(self) -> Path:
        """`.npy`: when each probe was handed to the producer's client, in `now_us`."""
        return Path(self.folder) / "sent.npy"

    @property
    def seen_file(self) -> Path:
        """`.npy`: when each probe's row was read, in `now_us`; -1: never."""
        return Path(self.folder) / "seen.npy"


def stream_settings() -> StreamSettings:
    """The settings of this process."""
    return msgspec.json.decode(sys.argv[1], type=StreamSettings)
