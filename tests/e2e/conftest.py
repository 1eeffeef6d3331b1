"""The payments repo, applied and compiled once; a model for its service; places to run it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from forebay.stack.valkey import Valkey
from pipelines.contract.plan_file import read_plan, write_plan
from tests.e2e.broker import PARTITIONS
from tests.e2e.deployment import SERVICE, Deployment, Place, run_forebay
from tests.kafka.apache_kafka import ApacheKafka
from tests.models import write_sum_model
from tests.payments import REPO

STREAMED = Path(__file__).parent / "repo" / "streamed.py"

Deploy = Callable[[str], Deployment]


@pytest.fixture(scope="session")
def place(kafka: ApacheKafka, valkey_server: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The repo as its author gets it running: feast apply, forebay plan, forebay topics, a model."""
    folder = tmp_path_factory.mktemp("payments")
    repo = shutil.copytree(REPO, folder / "feature_repo", ignore=shutil.ignore_patterns("data", "__pycache__"))
    shutil.copy(STREAMED, repo)
    store = repo / "feature_store.yaml"
    store.write_text(store.read_text().replace("localhost:6379", valkey_server.address))
    environment = {"FOREBAY_REDIS": valkey_server.address, "FOREBAY_BROKERS": kafka.bootstrap}
    feast = Path(sys.executable).with_name("feast")
    subprocess.run([feast, "apply"], cwd=repo, env=os.environ | environment, check=True, capture_output=True)
    plan_file = folder / "plan.msgpack"
    planned = run_forebay("plan", "--repo", str(repo), "--out", str(plan_file))
    assert planned.returncode == 0, planned.stderr
    plan = read_plan(plan_file)
    found = Place(plan, plan_file, folder / "models" / "sum", kafka.bootstrap, valkey_server.address, folder)
    options = ("--partitions", str(PARTITIONS), "--predictions", found.predictions)
    topics = run_forebay("topics", "--plan", str(plan_file), *options, **environment)
    assert topics.returncode == 0, topics.stderr
    width = sum(len(view.features) for view in plan.service(SERVICE).views)
    write_sum_model(found.model / "1", width, SERVICE)
    return found


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


def renamed(place: Place, project: str, folder: Path) -> Place:
    """The same repo, as if its author had called it otherwise."""
    sources = tuple(msgspec.structs.replace(each, topic=f"{project}.authorised") for each in place.plan.sources)
    plan = msgspec.structs.replace(place.plan, project=project, sources=sources)
    plan_file = folder / f"{project}.msgpack"
    write_plan(plan, plan_file)
    return place._replace(plan=plan, plan_file=plan_file, folder=folder)
