"""A consumer of the fake broker: a member of a group, or of partitions that it is given."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_INVALID, KafkaError, TopicPartition

from tests.support.broker.group import Membership, Place
from tests.support.broker.message import FakeMessage

if TYPE_CHECKING:
    from tests.support.broker.broker import FakeBroker

_LOOK_S = 0.05
"""How soon it notices that its group rebalances."""

OnPartitions = Callable[["FakeConsumer", list[TopicPartition]], object]


class FakeConsumer:
    """Reads committed records. A rebalance reaches it where it polls or is closed, as with librdkafka."""

    def __init__(self, broker: FakeBroker, config: Mapping[str, Any]) -> None:
        self._broker = broker
        self._group = broker.group(config["group.id"])
        self._member = ""
        """Its id in the group, once it has joined; another one after it was thrown out."""
        self._wanted: list[Place] = []
        self._generation = -1
        """Of the group, when it got its partitions; -1: it is no member."""
        self._subscribed = False
        self._on_assign: OnPartitions = lambda *_: None
        self._on_revoke: OnPartitions = lambda *_: None
        self._earliest = config.get("auto.offset.reset") == "earliest"
        self._tells_end = bool(config.get("enable.partition.eof"))
        self._positions: dict[Place, int] = {}
        """Of the partitions that it owns."""
        self._told_end: dict[Place, int] = {}
        """Where the end of a partition was told last."""
        self._passed: set[Place] = set()
        """Partitions something was read from, or whose position was set: others have no position to be told."""
        self._paused: set[Place] = set()

    # ---- the group

    def subscribe(
        self, topics: Sequence[str], on_assign: OnPartitions | None = None, on_revoke: OnPartitions | None = None
    ) -> None:
        """Joins at the next poll."""
        with self._broker.changed:
            self._subscribed = True
            self._wanted = [(topic, at) for topic in topics for at in range(self._broker.partitions(topic))]
            self._on_assign, self._on_revoke = on_assign or self._on_assign, on_revoke or self._on_revoke

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Takes partitions without a group."""
        with self._broker.changed:
            self._own([(each.topic, each.partition) for each in partitions])
            for each in partitions:
                if each.offset >= 0:
                    self._go_to((each.topic, each.partition), each.offset)

    def consumer_group_metadata(self) -> bytes:
        return Membership(self._group.name, self._generation, self._member).encode()

    def close(self) -> None:
        """Gives up its partitions, and leaves the group."""
        self._give_up()
        with self._broker.changed:
            self._group.leave(self._member)
            self._broker.changed.notify_all()

    def _follow_group(self) -> None:
        """Does what the group waits for. Calls back without the lock: others may have to commit meanwhile."""
        if not self._subscribed:
            return
        with self._broker.changed:
            rebalances = self._group.owned(self._member) is None
        if rebalances:
            self._give_up()
            with self._broker.changed:
                self._join()
        with self._broker.changed:
            owned = self._group.owned(self._member)
            if owned is None or self._generation == self._group.generation:
                return
            self._generation = self._group.generation
            self._own(owned)
        if owned:
            self._on_assign(self, _as_partitions(owned))

    def _join(self) -> None:
        if not self._group.knows(self._member):
            self._member = uuid.uuid4().hex
        self._group.join(self._member, self._wanted)
        self._broker.changed.notify_all()

    def _give_up(self) -> None:
        gone = list(self._positions)
        if gone and self._subscribed:
            self._on_revoke(self, _as_partitions(gone))
        self._own([])
        self._generation = -1

    def _own(self, places: Iterable[Place]) -> None:
        self._paused, self._told_end, self._passed = set(), {}, set()
        self._positions = {place: self._start(place) for place in places}

    def _start(self, place: Place) -> int:
        committed = self._group.committed.get(place)
        if committed is not None:
            return int(committed.offset)
        return 0 if self._earliest else self._broker.log(*place).stable_end

    # ---- records

    def poll(self, timeout: float = -1) -> FakeMessage | None:
        deadline = time.monotonic() + timeout if timeout >= 0 else float("inf")
        self._broker.check_failure("poll")
        while True:
            self._follow_group()
            with self._broker.changed:
                self._broker.end_overdue()
                message = self._next()
                left = deadline - time.monotonic()
                if message is not None or left <= 0:
                    return message
                self._broker.changed.wait(min(left, _LOOK_S))

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[FakeMessage]:
        found: list[FakeMessage] = []
        while len(found) < num_messages and (message := self.poll(timeout)) is not None:
            found.append(message)
        return found

    def _next(self) -> FakeMessage | None:
        """A record, or the news that a partition has no more; the partitions take turns."""
        for place in [each for each in self._positions if each not in self._paused]:
            message, after = self._broker.log(*place).read(self._positions[place])
            if message is None and self._told_end.get(place) == after:
                continue
            self._positions[place] = after
            self._passed.add(place)
            # The next one has its turn first.
            self._positions[place] = self._positions.pop(place)
            if message is not None:
                return message
            self._told_end[place] = after
            if self._tells_end:
                return FakeMessage(*place, after, error_=KafkaError(KafkaError._PARTITION_EOF))
        return None

    def seek(self, partition: TopicPartition) -> None:
        with self._broker.changed:
            self._go_to((partition.topic, partition.partition), partition.offset)

    def _go_to(self, place: Place, offset: int) -> None:
        self._positions[place] = 0 if offset == OFFSET_BEGINNING else offset
        self._told_end.pop(place, None)

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused |= {(each.topic, each.partition) for each in partitions}

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused -= {(each.topic, each.partition) for each in partitions}

    def assignment(self) -> list[TopicPartition]:
        return _as_partitions(sorted(self._positions))

    def position(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        with self._broker.changed:
            return [self._at((each.topic, each.partition)) for each in partitions]

    def _at(self, place: Place) -> TopicPartition:
        return TopicPartition(*place, self._positions[place] if place in self._passed else OFFSET_INVALID)

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = -1, cached: bool = False
    ) -> tuple[int, int]:
        with self._broker.changed:
            return 0, self._broker.log(partition.topic, partition.partition).stable_end

    # ---- what is committed

    def committed(self, partitions: Sequence[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        with self._broker.changed:
            self._broker.check_failure("committed")
            none = [TopicPartition(each.topic, each.partition, OFFSET_INVALID) for each in partitions]
            return [self._group.committed.get((each.topic, each.partition), each) for each in none]

    def commit(self, *, offsets: Sequence[TopicPartition], asynchronous: bool) -> None:
        assert not asynchronous
        with self._broker.changed:
            self._broker.check_failure("commit")
            self._group.check(Membership(self._group.name, self._generation, self._member))
            self._group.commit(offsets)


def _as_partitions(places: Iterable[Place]) -> list[TopicPartition]:
    return [TopicPartition(*place) for place in places]
