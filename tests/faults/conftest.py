"""The payments repo, applied and compiled once for all seeds."""

from __future__ import annotations

import pytest

from forebay.stack.valkey import Valkey
from tests.e2e.deployment import Place
from tests.e2e.place import payments_place
from tests.kafka.apache_kafka import ApacheKafka


@pytest.fixture(scope="session")
def place(kafka: ApacheKafka, valkey_server: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """What every seed runs under a project name of its own, with a store of its own."""
    return payments_place(kafka.bootstrap, valkey_server.address, tmp_path_factory.mktemp("faults"))
