"""What the worker relies on of a broker, kept by Apache Kafka and by the fake one that tests of logic run on."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from forebay.serving.worker.generation import is_member
from tests.e2e.broker import until
from tests.support.cluster import Cluster


def group_config(group: str = "", **more: Any) -> dict[str, Any]:
    return {
        "group.id": group or uuid.uuid4().hex,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        **more,
    }


def write(cluster: Cluster, topic: str, *values: bytes, partition: int = 0) -> None:
    producer = cluster.producer({})
    for value in values:
        producer.produce(topic, value, b"k", partition=partition)
    assert producer.flush(30) == 0


def transactional(cluster: Cluster, name: str = "", **more: Any) -> Any:
    producer = cluster.producer({"transactional.id": name or uuid.uuid4().hex, "retry.backoff.ms": 5, **more})
    producer.init_transactions(30)
    return producer


def read(consumer: Any, count: int, seconds: float = 30) -> list[bytes]:
    """The values of so many records."""
    values: list[bytes] = []

    def done() -> bool:
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            values.append(message.value())
        return len(values) >= count

    until(done, seconds, f"{count} records")
    return values


def nothing_comes(consumer: Any, polls: int = 5) -> bool:
    found = [consumer.poll(0.1) for _ in range(polls)]
    return not any(each is not None and each.error() is None for each in found)


def offsets(partitions: list[TopicPartition]) -> list[int]:
    return [each.offset for each in partitions]


@pytest.fixture
def open_consumer(cluster: Cluster):
    """Makes consumers that are closed at the end."""
    made = []

    def make(config: dict[str, Any]) -> Any:
        made.append(cluster.consumer(config))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_record_comes_as_it_was_written(cluster: Cluster, open_consumer) -> None:
    topic = cluster.create(2)
    producer = cluster.producer({})
    reports = []
    producer.produce(
        topic,
        b"v",
        b"k",
        partition=1,
        headers=[("h", b"1"), ("h", None)],
        on_delivery=lambda *all_: reports.append(all_),
    )
    assert producer.flush(30) == 0
    ((error, told),) = reports
    assert (error, told.topic(), told.partition(), told.offset()) == (None, topic, 1, 0)
    consumer = open_consumer(group_config())
    consumer.subscribe([topic])
    found: list[Any] = []
    until(lambda: bool(found.append(consumer.poll(0.1)) or found[-1]), 30, "the record")
    (message,) = [each for each in found if each]
    assert (message.topic(), message.partition(), message.offset(), message.key(), message.value()) == (
        *(topic, 1, 0, b"k"),
        b"v",
    )
    assert message.headers() == [("h", b"1"), ("h", None)]


def test_the_end_of_a_partition_is_told_once_until_something_comes(cluster: Cluster, open_consumer) -> None:
    topic = cluster.create(1)
    write(cluster, topic, b"a")
    consumer = open_consumer(group_config(**{"enable.partition.eof": True}))
    consumer.assign([TopicPartition(topic, 0, 0)])
    ends = []

    def next_end() -> bool:
        message = consumer.poll(0.1)
        if message is not None and message.error() is not None:
            ends.append((message.error().code(), message.offset()))
        return len(ends) == expected

    expected = 1
    until(next_end, 30, "the end")
    assert all(consumer.poll(0.1) is None for _ in range(5))
    write(cluster, topic, b"b")
    expected = 2
    until(next_end, 30, "the next end")
    assert ends == [(KafkaError._PARTITION_EOF, 1), (KafkaError._PARTITION_EOF, 2)]


def test_only_committed_records_are_read_and_positions_pass_what_is_left_out(cluster: Cluster, open_consumer) -> None:
    topic = cluster.create(1)
    writer = transactional(cluster)
    consumer = open_consumer(group_config())
    consumer.assign([TopicPartition(topic, 0, 0)])
    for value, ends in (
        (b"kept", writer.commit_transaction),
        (b"aborted", writer.abort_transaction),
        (b"kept too", writer.commit_transaction),
    ):
        writer.begin_transaction()
        writer.produce(topic, value)
        assert writer.flush(30) == 0
        ends(30)
    assert read(consumer, 2) == [b"kept", b"kept too"]
    until(
        lambda: consumer.poll(0.1) is None and offsets(consumer.position(consumer.assignment())) == [6], 30, "the end"
    )


def test_what_is_written_after_an_open_transaction_waits_for_it(cluster: Cluster, open_consumer) -> None:
    topic = cluster.create(1)
    writer = transactional(cluster)
    writer.begin_transaction()
    writer.produce(topic, b"in a transaction")
    assert writer.flush(30) == 0
    write(cluster, topic, b"later")
    consumer = open_consumer(group_config())
    consumer.assign([TopicPartition(topic, 0, 0)])
    assert nothing_comes(consumer)
    writer.commit_transaction(30)
    assert read(consumer, 2) == [b"in a transaction", b"later"]


def test_a_transaction_that_takes_too_long_is_aborted_and_its_producer_is_of_no_further_use(
    cluster: Cluster, open_consumer
) -> None:
    topic = cluster.create(1)
    writer = transactional(cluster, **{"transaction.timeout.ms": 1_000})
    writer.begin_transaction()
    writer.produce(topic, b"never ended")
    assert writer.flush(30) == 0
    write(cluster, topic, b"later")
    consumer = open_consumer(group_config())
    consumer.assign([TopicPartition(topic, 0, 0)])
    assert read(consumer, 1) == [b"later"]
    with pytest.raises(KafkaException):
        writer.commit_transaction(30)


def test_another_producer_of_the_same_name_ends_the_former_one_and_its_transaction(cluster: Cluster) -> None:
    topic, name = cluster.create(1), uuid.uuid4().hex
    former = transactional(cluster, name)
    former.begin_transaction()
    former.produce(topic, b"of the former")
    assert former.flush(30) == 0
    latter = transactional(cluster, name)
    with pytest.raises(KafkaException) as raised:
        former.commit_transaction(30)
    assert raised.value.args[0].fatal()
    latter.begin_transaction()
    latter.produce(topic, b"of the latter")
    latter.commit_transaction(30)
    assert [each.value() for each in cluster.read(topic)] == [b"of the latter"]


def test_offsets_count_with_their_transaction_alone(cluster: Cluster, open_consumer) -> None:
    topic = cluster.create(1)
    write(cluster, topic, b"a", b"b")
    consumer = open_consumer(group_config())
    consumer.subscribe([topic])
    read(consumer, 2)
    writer, here = transactional(cluster), [TopicPartition(topic, 0)]
    for ends, committed in ((writer.abort_transaction, -1001), (writer.commit_transaction, 2)):
        writer.begin_transaction()
        sent = [TopicPartition(topic, 0, 2, metadata="of id 7")]
        writer.send_offsets_to_transaction(sent, consumer.consumer_group_metadata(), 30)
        ends(30)
        (found,) = consumer.committed(here, 30)
        assert found.offset == committed
    assert found.metadata == "of id 7"


def test_all_members_share_the_partitions_and_none_is_anyones_before_it_is_given_up(
    cluster: Cluster, open_consumer
) -> None:
    topic, group = cluster.create(4), uuid.uuid4().hex
    owned: dict[str, set[int]] = {"first": set(), "second": set()}

    def member(name: str) -> Any:
        def came(_consumer: Any, partitions: list[TopicPartition]) -> None:
            owned[name] |= {each.partition for each in partitions}
            assert not owned["first"] & owned["second"]

        def gone(_consumer: Any, partitions: list[TopicPartition]) -> None:
            owned[name] -= {each.partition for each in partitions}

        made = open_consumer(group_config(group))
        made.subscribe([topic], on_assign=came, on_revoke=gone)
        return made

    first = member("first")
    until(lambda: first.poll(0.1) is None and len(owned["first"]) == 4, 30, "all partitions")
    second = member("second")

    def shared() -> bool:
        first.poll(0.05)
        second.poll(0.05)
        return {len(each) for each in owned.values()} == {2}

    until(shared, 30, "half of the partitions each")
    second.close()
    until(lambda: first.poll(0.1) is None and len(owned["first"]) == 4, 30, "all partitions again")
    assert owned["second"] == set()


def test_who_gets_a_partition_reads_on_from_what_is_committed(cluster: Cluster, open_consumer) -> None:
    topic, group = cluster.create(1), uuid.uuid4().hex
    write(cluster, topic, b"a", b"b", b"c")
    first = cluster.consumer(group_config(group))
    first.subscribe([topic])
    read(first, 3)
    first.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
    first.close()
    second = open_consumer(group_config(group))
    second.subscribe([topic])
    assert read(second, 2) == [b"b", b"c"]


def test_a_commit_of_a_former_generation_is_refused_and_its_transaction_can_be_aborted(
    cluster: Cluster, open_consumer
) -> None:
    topic, group = cluster.create(2), uuid.uuid4().hex
    first, second = open_consumer(group_config(group)), open_consumer(group_config(group))
    first.subscribe([topic])
    until(lambda: first.poll(0.1) is None and len(first.assignment()) == 2, 30, "all partitions")
    before = first.consumer_group_metadata()
    assert is_member(before)
    second.subscribe([topic])

    def shared() -> bool:
        first.poll(0.05)
        second.poll(0.05)
        return len(first.assignment()) == len(second.assignment()) == 1

    until(shared, 30, "one partition each")
    writer = transactional(cluster)
    writer.begin_transaction()
    writer.produce(topic, b"v")
    with pytest.raises(KafkaException) as raised:
        writer.send_offsets_to_transaction([TopicPartition(topic, 0, 1)], before, 30)
    assert raised.value.args[0].txn_requires_abort()
    writer.abort_transaction(30)
    assert cluster.read(topic) == []
    assert offsets(first.committed([TopicPartition(topic, 0)], 30)) == [-1001]


def test_a_commit_without_a_generation_is_not_checked_although_the_group_has_a_member(
    cluster: Cluster, open_consumer
) -> None:
    """Why a worker never commits without one."""
    topic, group = cluster.create(1), uuid.uuid4().hex
    write(cluster, topic, b"v")
    member, stranger = open_consumer(group_config(group)), open_consumer(group_config(group))
    member.subscribe([topic])
    read(member, 1)
    nobody = stranger.consumer_group_metadata()
    assert not is_member(nobody)
    writer = transactional(cluster)
    writer.begin_transaction()
    writer.send_offsets_to_transaction([TopicPartition(topic, 0, 1)], nobody, 30)
    writer.commit_transaction(30)
    assert offsets(member.committed([TopicPartition(topic, 0)], 30)) == [1]


def test_a_partition_that_is_paused_brings_nothing_and_a_position_can_be_set(cluster: Cluster, open_consumer) -> None:
    topic = cluster.create(1)
    write(cluster, topic, b"a", b"b")
    consumer = open_consumer(group_config())
    consumer.subscribe([topic])
    read(consumer, 2)
    consumer.pause(consumer.assignment())
    write(cluster, topic, b"c")
    assert nothing_comes(consumer)
    consumer.resume(consumer.assignment())
    assert read(consumer, 1) == [b"c"]
    consumer.seek(TopicPartition(topic, 0, 1))
    assert read(consumer, 2) == [b"b", b"c"]
