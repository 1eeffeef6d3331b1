"""What a reader of a topic meets is judged by its code: whether it passes, or has to be repaired first."""

from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError

from forebay.pipelines.adapters.kafka import topic_reader
from forebay.pipelines.adapters.kafka.topic_reader import TopicReader
from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.errors import BrokersUnavailable, SettingsError
from tests.support.broker.message import FakeMessage


class Client:
    """A consumer of a partition of two records that hands out what it is told, and then nothing.

    Asked for the end, it may tell one that is too low, as Tansu 0.6 does; what comes with a fetch is right.
    """

    told_end = 2

    def __init__(self, *handed_out):
        self._handed_out = list(handed_out)

    def get_watermark_offsets(self, _partition, timeout=None, cached=False):
        return 0, 2 if cached else self.told_end

    def list_topics(self, topic, _timeout):
        partition = SimpleNamespace(replicas=[1])
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None, partitions={0: partition})})

    def offsets_for_times(self, partitions, _timeout):
        return partitions

    def assign(self, _partitions):
        """Takes any."""

    def poll(self, _timeout):
        return self._handed_out.pop(0) if self._handed_out else None

    def close(self):
        """Has nothing to end."""


def record(at):
    return FakeMessage("payments", 0, at)


def met(code):
    return FakeMessage("payments", 0, 0, error_=KafkaError(code, "said so"))


@pytest.fixture
def read(monkeypatch):
    """All offsets of the partition, read by a client that hands this out."""

    def offsets(*handed_out):
        monkeypatch.setattr(topic_reader, "Consumer", lambda _: Client(*handed_out))
        return [each.offset() for each in TopicReader("127.0.0.1:1").since("payments", 0, 0)]

    return offsets


def test_records_are_read_to_the_end(read):
    assert read(record(0), record(1)) == [0, 1]
    assert read(record(0), met(KafkaError._PARTITION_EOF)) == [0]  # the last offset is a marker's


def test_records_after_an_end_that_is_told_too_low_are_read_too(read, monkeypatch):
    monkeypatch.setattr(Client, "told_end", 1)
    assert read(record(0), record(1)) == [0, 1]
    for whole in (lambda reader: reader.since("payments", 0, 0, end=2), lambda reader: reader.messages("payments")):
        assert [each.offset() for each in whole(TopicReader("127.0.0.1:1"))] == [0, 1]


@pytest.mark.parametrize(
    ("offset", "handed_out"), [(1, record(1)), (2, met(KafkaError._PARTITION_EOF)), (7, record(0))]
)
def test_a_record_is_found_by_its_position_alone(read, monkeypatch, offset, handed_out):
    """Beyond the end a client begins again at the beginning."""
    monkeypatch.setattr(Client, "told_end", 1)
    read(record(0), record(1))
    monkeypatch.setattr(topic_reader, "Consumer", lambda _: Client(handed_out))
    found = TopicReader("127.0.0.1:1").message(Position("payments", 0, offset))
    assert (found and found.offset()) == (1 if offset == 1 else None)


def test_the_coordinator_of_a_group_that_is_not_used_is_not_missed(read):
    assert read(met(KafkaError.GROUP_AUTHORIZATION_FAILED), record(0), record(1)) == [0, 1]


@pytest.mark.parametrize(
    "code",
    [
        KafkaError._FATAL,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.BROKER_NOT_AVAILABLE,
    ],
)
def test_what_passes_is_worth_another_start(read, code):
    with pytest.raises(BrokersUnavailable, match=r"payments\[0\] can't be read: said so; start again"):
        read(record(0), met(code))


def test_brokers_that_bring_nothing_are_worth_another_start(read):
    with pytest.raises(BrokersUnavailable, match=r"payments\[0\]: nothing came for 30 s"):
        read(record(0))


def test_what_is_not_allowed_is_to_be_repaired_first(read):
    with pytest.raises(SettingsError, match="allow the user to read topic 'payments'"):
        read(met(KafkaError.TOPIC_AUTHORIZATION_FAILED))
