"""Forgets entities in the store: remembers the erasure first, then removes rows.

A processor that remembers a row meets its absence at the entity's next event, and one that computes a definition anew
meets no row at all. The erasure says to both that the row was removed on purpose, and which events do not count again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from forebay.pipelines.adapters.redis.scripts import FORGET, REMEMBER_ERASURE
from forebay.pipelines.contract.store.erasure import SECRET, new_secret, secret_key


def secret_of(client: Any, project: str) -> bytes:
    """Returns the secret of a project's erasures; one is made where there is none.

    Args:
        client: of redis-py; its errors are the caller's.
    """
    client.hsetnx(secret_key(project), SECRET, new_secret())
    return bytes(client.hget(secret_key(project), SECRET))


def remember_erasure(client: Any, erasure: bytes, offsets: Mapping[bytes, bytes], remembered_ms: int) -> int:
    """Remembers that an entity is forgotten from now on; returns that time, ms since the epoch.

    Args:
        offsets: by place, up to which record it is forgotten.
        remembered_ms: how long that is remembered; 0: for ever.
    """
    places = [part for each in offsets.items() for part in each]
    return int(client.eval(REMEMBER_ERASURE, 1, erasure, remembered_ms, *places))


def forget_rows(client: Any, rows: Sequence[bytes], erasure: bytes) -> None:
    """Removes rows of all views at these keys, each atomically, in one round trip; their fences go into the erasure."""
    pipeline = client.pipeline(transaction=False)
    for row in rows:
        pipeline.eval(FORGET, 2, row, erasure)
    pipeline.execute()
