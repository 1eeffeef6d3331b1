"""Defines erasures: which entities were forgotten, and up to when. Their keys tell no entity.

`forebay:erased:<project>:<BLAKE2b of the entity's key, keyed by the project's secret>` is a hash:

    at          when the entity was forgotten, ms since the epoch, in decimal digits
    <place>     12 bytes: incarnation of a topic (8) and partition (4) -> the last offset that is forgotten, u64 BE

On a place that the hash names, offsets decide. Elsewhere, on a topic that was made later or in a file of history,
event time does.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from forebay.pipelines.contract.store.keys import glob_literal

AT = b"at"
"""The field that says when the entity was forgotten."""

SECRET = b"secret"
"""The field that holds a project's secret."""

NEVER = -1

_NAME_BYTES = 16

_PLACE = slice(9, 21)
_FENCE = slice(21, 29)
_OFFSET = struct.Struct(">Q")
_PARTITION = struct.Struct(">I")


def secret_key(project: str) -> bytes:
    """Returns the Redis hash that holds the secret of a project's erasures."""
    return f"forebay:erasures:{project}".encode()


def new_secret() -> bytes:
    """Returns a random secret, for a project that has none yet."""
    return secrets.token_bytes(32)


def erasure_key(project: str, secret: bytes, entity_key: bytes) -> bytes:
    """Returns the Redis key of an entity's erasure.

    Args:
        entity_key: of the join keys that were forgotten, as `EntityKeyEncoder` makes it.
    """
    name = hashlib.blake2b(entity_key, key=secret, digest_size=_NAME_BYTES).hexdigest()
    return f"forebay:erased:{project}:{name}".encode()


def erasure_keys(project: str) -> bytes:
    """Returns the glob pattern of those keys."""
    return glob_literal(f"forebay:erased:{project}:") + b"*"


def place(incarnation: bytes, partition: int) -> bytes:
    """Returns the field of a partition of a topic."""
    return incarnation + _PARTITION.pack(partition)


def place_of(head: bytes) -> bytes:
    """Returns the field of the partition that a row with this head is computed from."""
    return head[_PLACE]


def fence_of(head: bytes) -> bytes:
    """Returns the value of that field where the row is forgotten: its own fence."""
    return head[_FENCE]


def encode_offset(offset: int) -> bytes:
    """Returns the value of a place."""
    return _OFFSET.pack(offset)


class Erasure(NamedTuple):
    """Which events of an entity are forgotten, as a row sees it that is computed from one partition."""

    at_ms: int = NEVER
    """When the entity was forgotten last; a writer names it to say that it knows."""
    offset: int = NEVER
    """Records of the partition up to here are forgotten."""
    event_ms: int = NEVER
    """So are events up to this time: it is the time of an erasure that does not know the partition."""

    @property
    def expected_offset(self) -> int:
        """The expected offset of a write that begins a row anew after this erasure."""
        return -2 - self.at_ms if self.at_ms != NEVER else -1

    def covers(self, offset: int) -> bool:
        """Tells whether a row that contained the partition up to this offset can have been removed by it."""
        return offset <= self.offset


def erasure_of(found: Iterable[Sequence[bytes | None]]) -> Erasure:
    """Returns the erasures of an entity, and of those that it is a part of, as one.

    Args:
        found: of each of them the value of `AT`, and that of the place.
    """
    known = [(int(at), offset) for at, offset in found if at is not None]
    return Erasure(
        max((at for at, _ in known), default=NEVER),
        max((_OFFSET.unpack(offset)[0] for _, offset in known if offset is not None), default=NEVER),
        max((at for at, offset in known if offset is None), default=NEVER),
    )
