"""Brokers that do not know the group protocol are named; brokers that are away are waited for."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from forebay.local.tansu import Tansu
from forebay.local.topics import create_topics
from forebay.pipelines.errors import SettingsError
from forebay.serving.worker import admission
from forebay.serving.worker.admission import ADMITTED_S, Admission
from forebay.serving.worker.loop import Worker
from forebay.serving.worker.settings import WorkerSettings

MEMBER, STRANGER = (b"CGMDv2:" + generation for generation in (b"\x00\x00\x00\x00", b"\xff\xff\xff\xff"))


class Client:
    """A consumer that is what it is told."""

    def __init__(self, metadata=STRANGER, away=False):
        self.metadata, self.away = metadata, away

    def consumer_group_metadata(self):
        return self.metadata

    def list_topics(self, _topic, _timeout):
        if self.away:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))


@pytest.fixture
def clock():
    return [0.0]


def of(clock, protocol="consumer"):
    return Admission(WorkerSettings("broker:1", "payments", "group", group_protocol=protocol), lambda: clock[0])


def test_a_group_that_takes_no_member_while_the_brokers_answer_is_refused_after_a_while(clock):
    made = of(clock)
    made.look(Client())
    clock[0] = ADMITTED_S
    with pytest.raises(SettingsError, match="use --group-protocol classic"):
        made.look(Client())


def test_a_member_is_not_asked_again(clock):
    made = of(clock)
    clock[0] = ADMITTED_S
    made.look(Client(MEMBER))
    made.look(Client())


def test_brokers_that_are_away_have_the_whole_time_once_they_are_back(clock):
    made = of(clock)
    clock[0] = ADMITTED_S
    made.look(Client(away=True))
    clock[0] += ADMITTED_S - 1
    made.look(Client())


def test_the_classic_protocol_is_known_everywhere(clock):
    made = of(clock, "classic")
    clock[0] = ADMITTED_S
    made.look(Client())


def test_a_broker_without_kip_848_is_named(monkeypatch):
    monkeypatch.setattr(admission, "ADMITTED_S", 1.0)
    with Tansu() as broker:
        create_topics(broker.address, {"payments": 1})
        with pytest.raises(SettingsError, match=r"has not taken this worker for 1 s with --group-protocol consumer"):
            Worker(WorkerSettings(broker.address, "payments", "group", group_protocol="consumer"), lambda _: []).run()
