"""The payments repo, applied and compiled once; places to run it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from forebay.stack.valkey import Valkey
from tests.e2e.deployment import Deployment, Place
from tests.e2e.place import payments_place, renamed
from tests.kafka.apache_kafka import ApacheKafka

Deploy = Callable[[str], Deployment]


@pytest.fixture(scope="session")
def place(kafka: ApacheKafka, valkey_server: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The repo as its author gets it running."""
    return payments_place(kafka.bootstrap, valkey_server.address, tmp_path_factory.mktemp("payments"))


@pytest.fixture
def deploy(place: Place, valkey: str, tmp_path: Path) -> Iterator[Deploy]:
    """A deployment of the same repo under another project name: own topics, groups and rows."""
    deployments = []

    def make(project: str, store: str = valkey) -> Deployment:
        deployment = Deployment(renamed(place, project, tmp_path)._replace(redis=store))
        deployments.append(deployment)
        return deployment

    yield make
    for deployment in deployments:
        deployment.stop()
