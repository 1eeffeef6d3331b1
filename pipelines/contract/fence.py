"""The header of a stored row: which records it contains, and under which definition.

Layout of `_fb:<view>@<definition>`: 37 bytes of header, then the newest tile of every group (see `steps.rows`).

    0   u8      format version
    1   8 bytes view fingerprint
    9   8 bytes lineage: topic name, topic id and partition count, hashed
    17  u32 BE  partition of the last record contained
    21  u64 BE  its offset: the fence
    29  i64 BE  event time of the newest event contained, ms

The store's compare-and-set script reads the first 29 bytes; integers are big endian for it.
"""

from __future__ import annotations

import hashlib
import re
import struct
from typing import NamedTuple

import msgspec

ROW_FORMAT = 3
HEADER = struct.Struct(">B8s8sIQq")
HEADER_BYTES = HEADER.size

_PRINTED = re.compile(r"(.+)\[([0-9]{1,9})\]@([0-9]{1,18})")

IDENTITY = slice(0, 9)
"""Format and view fingerprint: a row of another identity is as good as absent."""


class Position(NamedTuple):
    """A place in Kafka, printed as `topic[partition]@offset`."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """The place that a text names; None where it names none."""
        found = _PRINTED.fullmatch(text)
        return cls(found[1], int(found[2]), int(found[3])) if found else None


class Lineage(msgspec.Struct, frozen=True):
    """One life of a topic: offsets compare only within it."""

    topic: str
    topic_id: str
    partitions: int
    source_id: str = ""
    """Of a routed topic: the id of the topic it is routed from, whose offsets its records carry."""

    def routed_from(self, source: Lineage) -> Lineage:
        """The life of a routed topic: one more begins where its source topic is made anew."""
        return msgspec.structs.replace(self, source_id=source.topic_id)

    @property
    def digest(self) -> bytes:
        """8 bytes that name this life."""
        parts = [self.topic, self.topic_id, str(self.partitions), *([self.source_id] if self.source_id else [])]
        return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest()


class Header(NamedTuple):
    """The decoded header of a stored row."""

    format: int
    fingerprint: bytes
    lineage: bytes
    partition: int
    offset: int
    last_event_ms: int

    @classmethod
    def unpack(cls, head: bytes) -> Header:
        """The header of `_fb:<view>@<definition>` bytes.

        Raises:
            ValueError: the bytes are too short to be a row.
        """
        if len(head) < HEADER_BYTES:
            raise ValueError(f"a stored row has at least {HEADER_BYTES} bytes, this one {len(head)}")
        return cls(*HEADER.unpack_from(head))
