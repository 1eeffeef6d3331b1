"""A deployment table that changes under load: every event has one prediction, by the table that it names."""

from __future__ import annotations

import json
import random
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from forebay.pipelines.contract.kafka.topics import shadow_topic
from forebay.serving.models.catalog import Catalog
from forebay.serving.models.deployment import Deployment as Table
from forebay.serving.models.table import BUCKETS
from forebay.serving.scoring.assignment import bucket
from tests.e2e.broker import read_topic, until
from tests.e2e.conftest import Deploy
from tests.e2e.deployment import Deployment, run_forebay
from tests.e2e.payments import random_payments
from tests.e2e.payments_run import Published, predictions, publish
from tests.e2e.test_model_versions import PLUS, add_version

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

BURST, MOST_BURSTS = 50, 400


@pytest.fixture
def deployment(deploy: Deploy, tmp_path: Path) -> Iterator[Deployment]:
    """Of a model folder of its own, with three versions."""
    place = deploy("tables").place
    found = Deployment(place._replace(model=shutil.copytree(place.model, tmp_path / place.model.name)))
    for version in ("2", "3"):
        add_version(found.place.model, version, PLUS[version])
    yield found
    found.stop()


class Load:
    """Bursts of payments, on a thread of its own, until it is told to stop."""

    def __init__(self, deployment: Deployment) -> None:
        self.published = Published({}, {})
        self._place = deployment.place
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        payments = random_payments(random.Random(11), BURST * MOST_BURSTS)
        for _ in range(MOST_BURSTS):
            publish(self._place, islice(payments, BURST), self.published)
            if self._ended.wait(0.05):
                return

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def set_table(deployment: Deployment, *options: str) -> Table:
    """Runs `forebay deployment set`, and waits for a prediction by the new table."""
    model = deployment.place.model
    done = run_forebay("deployment", "set", str(model), f"--plan={deployment.place.plan_file}", *options)
    assert done.returncode == 0, done.stderr
    (table,) = Catalog(model).deployments()
    until(
        lambda: any(each["deployment"] == table.generation for each in predictions(deployment.place)),
        60,
        f"a prediction by generation {table.generation}",
    )
    return table


def answering(table: Table, entities: dict[str, Any]) -> str:
    """The version that the table says, computed anew."""
    at = bucket(table.name, list(entities.values())) * 100 / BUCKETS
    return next((each.model for each in table.shares if each.start <= at < each.end), table.live)


def test_a_table_changes_under_load_and_every_event_is_scored_once_by_one_of_them(deployment: Deployment) -> None:
    place = deployment.place
    deployment.create_topics()
    deployment.processor().spawn()
    worker = deployment.worker()
    worker.spawn()
    with Load(deployment) as load:
        tables = [
            set_table(deployment, "--live=1", "--share=2=30", "--shadow=3"),
            set_table(deployment, "--share=2=60", "--shadow=3"),
            set_table(deployment, "--live=2", "--share=1=10"),
        ]
    wanted = len(load.published.payments)
    until(lambda: len(predictions(place)) >= wanted, 60, f"{wanted} predictions")
    worker.check_running()
    scored, known = predictions(place), {each.generation: each for each in tables}
    assert Counter(each["source"] for each in scored) == Counter(
        f"{place.topic}[{partition}]@{offset}" for partition, offset in load.published.payments
    )
    shadowed = Counter[str]()
    for each in scored:
        total = sum(float(value) for value in each["features"].values() if value is not None)
        assert each["scores"]["total"] == pytest.approx(total + PLUS[each["version"]], rel=1e-4)
        if table := known.get(each["deployment"]):  # else it came before the first one
            assert f"sum/{each['version']}" == answering(table, each["entities"])
            shadowed.update([each["source"]] if table.shadows else [])
    shadows = [json.loads(each.value()) for each in read_topic(place.brokers, shadow_topic(place.predictions))]
    assert Counter(each["source"] for each in shadows) == shadowed
    assert {each["version"] for each in shadows} == {"3"}
