"""Deployments of the payments repo."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.deployment import Deployment, Place
from tests.e2e.place import renamed

Deploy = Callable[[str], Deployment]


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
