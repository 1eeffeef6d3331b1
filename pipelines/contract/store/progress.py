"""Defines progress: how far a view has come on one partition. The copy in Redis is the one that counts."""

from __future__ import annotations

import msgspec

from forebay.pipelines.contract.kafka.incarnation import Incarnation

NOTHING_YET = -1


class SourceProgress(msgspec.Struct, frozen=True):
    """How far one source partition has been read. A topic that is read directly is its own source."""

    offset: int = NOTHING_YET
    """Highest source offset contained; a routed record at or below it is a duplicate."""
    watermark_ms: int = NOTHING_YET
    """Highest event time seen, ms since the epoch."""


class Progress(msgspec.Struct, frozen=True):
    """All records of the partition up to `offset` are contained in the rows."""

    incarnation: Incarnation = msgspec.field(name="lineage")  # the name in stored bytes
    offset: int = NOTHING_YET
    sources: dict[int, SourceProgress] = {}

    @property
    def watermark_ms(self) -> int:
        """Highest event time seen on the partition, ms since the epoch; -1 before the first event."""
        return max((source.watermark_ms for source in self.sources.values()), default=NOTHING_YET)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Progress)


def encode_progress(progress: Progress) -> bytes:
    """Returns the stored form."""
    return _encoder.encode(progress)


def decode_progress(data: bytes) -> Progress:
    """Returns the stored form, read back (`msgspec.DecodeError` if it is none)."""
    return _decoder.decode(data)
