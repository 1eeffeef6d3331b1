"""Servers for tests. Each starts when the first test asks for it and lives until the last one is done."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import structlog

from forebay.local.tansu import Tansu
from forebay.local.valkey import Valkey, ValkeySettings
from tests.e2e.deployment import Place
from tests.e2e.place import payments_place
from tests.kafka.apache_kafka import ApacheKafka, apache_kafka, unavailable
from tests.support.cluster import Cluster, FakeCluster, KafkaCluster
from tests.support.payments import apply_payments, run_compiler

pytest_plugins = ["tests.support.deselected"]


@pytest.fixture(autouse=True)
def metrics_of_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Feast 0.67 turns on the Prometheus client's multi-process mode as it is imported; no process of ours does."""
    for name in ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def logs_of_one_test() -> Iterator[None]:
    """A command that runs in this process sets up logs for all of it: the next test finds them as they were."""
    handlers = logging.getLogger().handlers[:]
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers


@pytest.fixture(scope="session")
def kafka() -> Iterator[ApacheKafka]:
    """The real Apache Kafka, running. Topics live as long as the session: give them names of your own."""
    if reason := unavailable():
        if os.environ.get("FOREBAY_REQUIRE_KAFKA") == "1":
            pytest.fail(f"{reason}, and FOREBAY_REQUIRE_KAFKA=1 makes these tests compulsory", pytrace=False)
        pytest.skip(reason)
    with apache_kafka() as server:
        yield server


@pytest.fixture(params=["fake", pytest.param("kafka", marks=pytest.mark.kafka)])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """The fake broker, and Apache Kafka: a test that asks for it runs on both."""
    return FakeCluster() if request.param == "fake" else KafkaCluster(request.getfixturevalue("kafka").bootstrap)


@pytest.fixture(scope="session")
def payments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the payments repo, applied, and its plan file `plan.bin`."""
    folder = tmp_path_factory.mktemp("payments")
    result = run_compiler(apply_payments(folder), folder / "plan.bin", seed=1)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    return folder


@pytest.fixture(scope="session")
def tansu() -> Iterator[Tansu]:
    """The embedded broker, for tests of function only: never of delivery or latency."""
    with Tansu() as server:
        yield server


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Valkey]:
    """The store that all tests share; most want `valkey`. FOREBAY_STORE_SERVER names the binary of another server."""
    binary = os.environ.get("FOREBAY_STORE_SERVER")
    with Valkey(ValkeySettings(binary=Path(binary) if binary else None)) as server:
        yield server


@pytest.fixture
def valkey(valkey_server: Valkey) -> str:
    """host:port of a store that is empty when the test begins."""
    client = redis.Redis("127.0.0.1", valkey_server.port)
    client.flushall()
    client.close()
    return valkey_server.address


@pytest.fixture(scope="session")
def place(kafka: ApacheKafka, valkey_server: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The payments repo as its author gets it running, to be run again under other project names."""
    return payments_place(kafka.bootstrap, valkey_server.address, tmp_path_factory.mktemp("payments"))
