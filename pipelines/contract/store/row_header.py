"""Encodes and decodes the header of a stored row: which records it contains, and under which definition.

Layout of `_fb:<view>@<definition>`: 37 bytes of header, then the newest tile of every group
(see `steps.tile_state.row_codec`).

    0   u8      format version
    1   8 bytes view fingerprint
    9   8 bytes incarnation: topic name, topic id and partition count, hashed
    17  u32 BE  partition of the last record contained
    21  u64 BE  its offset: the fence
    29  i64 BE  event time of the newest event contained, ms

The store's compare-and-set script reads the first 29 bytes; integers are big endian for it.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

ROW_FORMAT = 3
HEADER = struct.Struct(">B8s8sIQq")
HEADER_BYTES = HEADER.size

IDENTITY = slice(0, 9)
"""Format and view fingerprint: a row of another identity is as good as absent."""


class Header(NamedTuple):
    """The decoded header of a stored row."""

    format: int
    fingerprint: bytes
    incarnation: bytes
    partition: int
    offset: int
    last_event_ms: int

    @classmethod
    def unpack(cls, head: bytes) -> Header:
        """Decodes the header of `_fb:<view>@<definition>` bytes.

        Raises:
            ValueError: the bytes are too short to be a row.
        """
        if len(head) < HEADER_BYTES:
            raise ValueError(f"a stored row has at least {HEADER_BYTES} bytes, this one {len(head)}")
        return cls(*HEADER.unpack_from(head))
