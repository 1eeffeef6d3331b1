"""Names the incarnation of a topic, because offsets compare only within one."""

from __future__ import annotations

import hashlib

import msgspec


class Incarnation(msgspec.Struct, frozen=True):
    """Names one incarnation of a topic: offsets compare only within it."""

    topic: str
    topic_id: str
    partitions: int
    source_id: str = ""
    """Of a routed topic: the id of the topic it is routed from, whose offsets its records carry."""

    def routed_from(self, source: Incarnation) -> Incarnation:
        """Names the incarnation of a routed topic: another one begins where its source topic is made anew."""
        return msgspec.structs.replace(self, source_id=source.topic_id)

    @property
    def digest(self) -> bytes:
        """Returns 8 bytes that name this incarnation."""
        parts = [self.topic, self.topic_id, str(self.partitions), *([self.source_id] if self.source_id else [])]
        return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest()
