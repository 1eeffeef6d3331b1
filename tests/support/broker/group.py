"""A consumer group: who is a member, who owns which partition, and what is committed."""

from __future__ import annotations

import struct
import sys
from collections.abc import Collection
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicPartition

Place = tuple[str, int]
"""(topic, partition)."""

_GENERATION = struct.Struct("=i")
_PREFIX = b"CGMDv2:"
"""librdkafka's own form of group metadata begins so, with the generation after it."""


class Membership(NamedTuple):
    """What a commit says about who commits."""

    group: str
    generation: int
    """-1: of nobody who is a member."""
    member: str

    def encode(self) -> bytes:
        return _PREFIX + _GENERATION.pack(self.generation) + f"{self.group}\0{self.member}".encode()

    @classmethod
    def decode(cls, metadata: bytes) -> Membership:
        assert sys.byteorder == "little"
        start = len(_PREFIX)
        group, member = metadata[start + _GENERATION.size :].decode().split("\0")
        return cls(group, _GENERATION.unpack_from(metadata, start)[0], member)


class Group:
    """Rebalances as the eager protocol does: all members give up all partitions before anyone gets one.

    Not thread-safe.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.generation = 0
        self.committed: dict[Place, TopicPartition] = {}
        self._members: dict[str, Collection[Place]] = {}
        """By member in the order they came, what each wants to own."""
        self._ready: set[str] = set()
        """Members that own nothing, and wait for the others."""
        self._owned: dict[str, list[Place]] = {}

    def join(self, member: str, wanted: Collection[Place]) -> None:
        """A member that owns nothing waits for partitions: a new one, or one that has given up its own."""
        if member not in self._members:
            self._begin_rebalance()
        self._members[member] = wanted
        self._ready.add(member)
        self._settle()

    def leave(self, member: str) -> None:
        """A member goes, or has been silent for too long."""
        if self._members.pop(member, None) is not None:
            self._begin_rebalance()
            self._settle()

    def knows(self, member: str) -> bool:
        return member in self._members

    def owned(self, member: str) -> list[Place] | None:
        """The member's partitions; None while the group rebalances, or does not know it."""
        return self._owned.get(member)

    def check(self, by: Membership) -> None:
        """Raises `KafkaException` for a commit of somebody whose partitions may belong to others.

        As the brokers, it does not look where no generation is given.
        """
        if by.generation < 0:
            return
        if by.member not in self._members:
            code = KafkaError.UNKNOWN_MEMBER_ID
        elif by.generation != self.generation:
            code = KafkaError.ILLEGAL_GENERATION
        else:
            return
        raise KafkaException(KafkaError(code, "the group has gone on", txn_requires_abort=True))

    def commit(self, offsets: Collection[TopicPartition]) -> None:
        self.committed |= {(each.topic, each.partition): each for each in offsets}

    def _begin_rebalance(self) -> None:
        self._owned, self._ready = {}, self._ready & self._members.keys()
        if not self._members:
            self._ready = set()

    def _settle(self) -> None:
        """Shares out the partitions once every member has given up its own."""
        if not self._members or self._ready != self._members.keys():
            return
        self.generation += 1
        self._ready = set()
        self._owned = {member: [] for member in self._members}
        for place in sorted({place for wanted in self._members.values() for place in wanted}):
            takers = [member for member, wanted in self._members.items() if place in wanted]
            self._owned[takers[place[1] % len(takers)]].append(place)
