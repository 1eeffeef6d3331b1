"""Rows that were forgotten: removed, with what their fences were kept for a while under a name that tells no entity.

A processor that remembers the row meets its absence at the entity's next event. The kept fence says that the row was
removed on purpose, and that the store lost nothing; and up to which record of the partition the entity's events must
not be folded again, by whatever definition of whatever view: one that is computed anew reads them all.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Any

from forebay.pipelines.adapters.redis.scripts import FORGET

REMEMBERED_MS = 7 * 86_400_000
"""How long fences of forgotten rows are kept by default: as long as Kafka keeps records where nobody says otherwise."""

_PLACE = slice(9, 21)
"""Of a header: incarnation of the topic, and partition. The field of a kept fence."""
_FENCE = slice(21, 29)
_OFFSET = struct.Struct(">Q")


def forgotten_key(row: bytes) -> bytes:
    """The hash that keeps the fences of a forgotten row, by place. The store's scripts make the same name."""
    return b"forebay:forgotten:" + hashlib.sha1(row, usedforsecurity=False).hexdigest().encode()


def forgotten_place(head: bytes) -> bytes:
    """The field of that hash where the fence is kept that matters to a row with this head."""
    return head[_PLACE]


def kept_fence(head: bytes) -> bytes:
    """What is kept of a row's head."""
    return head[_FENCE]


def forgotten_at(fence: bytes | None) -> int:
    """The offset up to which an entity was forgotten; -1 if nothing is kept."""
    return -1 if fence is None else int(_OFFSET.unpack(fence)[0])


def after_forgotten(offset: int) -> int:
    """The expected offset of a write that begins a row anew after it was forgotten at this one."""
    return -2 - offset


def forget_rows(client: Any, rows: Sequence[bytes], remembered_ms: int = REMEMBERED_MS) -> None:
    """Removes rows of all views at these keys, each atomically, in one round trip.

    Args:
        client: of redis-py; its errors are the caller's.
        remembered_ms: how long it is remembered up to which records that was; 0: for ever.
    """
    pipeline = client.pipeline(transaction=False)
    for row in rows:
        pipeline.eval(FORGET, 2, row, forgotten_key(row), remembered_ms)
    pipeline.execute()
