"""Rows that were forgotten: removed, with the fence they had kept for a while under a name that tells no entity.

A processor that remembers the row meets its absence at the entity's next event. The fence says that the row was removed
on purpose, and that the store lost nothing; and up to which record its events must not be folded again, should they be
read again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from pipelines.adapters.redis_scripts import FORGET
from pipelines.contract.fence import HEADER_BYTES, Header

REMEMBERED_MS = 7 * 86_400_000
"""How long the fence of a forgotten row is kept. An event that comes later, to a processor that has held the row in
memory all the time, lets that one start again from the store's progress."""

_COMPARED = slice(0, 21)
"""Of a header: format, definition, life of the topic, and partition."""


def forgotten_key(row: bytes) -> bytes:
    """The hash that keeps the fences of a forgotten row, by head field. The store's script makes the same name."""
    return b"forebay:forgotten:" + hashlib.sha1(row, usedforsecurity=False).hexdigest().encode()


def forgotten_at(fence: bytes | None, head: bytes) -> int:
    """The offset that a row had when it was forgotten; -1 if it was not, or in another life of the topic.

    Args:
        fence: the stored header; None if there is none.
        head: what is to be written now.
    """
    if fence is None or len(fence) < HEADER_BYTES or fence[_COMPARED] != head[_COMPARED]:
        return -1
    return Header.unpack(fence).offset


def after_forgotten(offset: int) -> int:
    """The expected offset of a write that begins a row anew after it was forgotten at this one."""
    return -2 - offset


def forget_rows(client: Any, rows: Sequence[bytes]) -> None:
    """Removes rows of all views at these keys, each atomically, in one round trip.

    Args:
        client: of redis-py; its errors are the caller's.
    """
    pipeline = client.pipeline(transaction=False)
    for row in rows:
        pipeline.eval(FORGET, 2, row, forgotten_key(row), REMEMBERED_MS)
    pipeline.execute()
