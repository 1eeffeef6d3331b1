"""Versions of a model that come and go while a worker scores: no event is lost, doubled, or scored by a bad one."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import onnx
import pytest
from onnx import helper

from tests.e2e.broker import until
from tests.e2e.conftest import Deploy
from tests.e2e.deployment import SERVICE, Deployment, run_forebay
from tests.e2e.offline import position
from tests.e2e.payments import random_payments
from tests.e2e.payments_run import Published, predictions, publish

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

BURST = 100


PLUS = {"1": 0.0, "2": 1_000.0, "3": 2_000.0}
"""What each version adds to the sum of the features."""


def add_version(model: Path, version: str, plus: float, service: str = SERVICE) -> None:
    """Adds a version whose scores are those of version 1 plus a number."""
    loaded = onnx.load(model / "1" / "model.onnx")
    (output,) = loaded.graph.output
    inner = f"{output.name}_before"
    for node in loaded.graph.node:
        node.output[:] = [inner if name == output.name else name for name in node.output]
    loaded.graph.initializer.append(helper.make_tensor("plus", onnx.TensorProto.FLOAT, [], [plus]))
    loaded.graph.node.append(helper.make_node("Add", [inner, "plus"], [output.name]))
    copying = model / f"{version}.copying"
    shutil.copytree(model / "1", copying)
    onnx.save(loaded, copying / "model.onnx")
    (copying / "model.yaml").write_text(f"service: {service}\nscores: {{total: {{output: total}}}}\n")
    copying.rename(model / version)


class Run:
    """Bursts of payments, each scored before the next."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.published = Published({}, {})
        self._payments = random_payments(random.Random(5), 100 * BURST)

    def burst(self) -> set[str]:
        """The versions that scored one more burst of payments."""
        before = set(self.published.payments)
        publish(self.deployment.place, islice(self._payments, BURST), self.published)
        wanted = len(self.published.payments)
        until(lambda: len(predictions(self.deployment.place)) >= wanted, 60, f"{wanted} predictions")
        return {
            each["version"] for each in predictions(self.deployment.place) if position(each["source"]) not in before
        }

    def until_scored_by(self, version: str) -> None:
        until(lambda: self.burst() == {version}, 60, f"payments scored by version {version}")


@pytest.fixture
def deployment(deploy: Deploy, tmp_path: Path) -> Iterator[Deployment]:
    """Of a model folder of its own."""
    place = deploy("versions").place
    model = shutil.copytree(place.model, tmp_path / place.model.name)
    found = Deployment(place._replace(model=model))
    yield found
    found.stop()


def forebay(deployment: Deployment, command: str) -> None:
    """Runs one of `forebay models`."""
    done = run_forebay("models", command, str(deployment.place.model), f"--plan={deployment.place.plan_file}")
    assert done.returncode == 0, done.stderr


def test_versions_come_are_refused_and_are_rolled_back_while_events_are_scored(deployment: Deployment) -> None:
    model = deployment.place.model
    deployment.create_topics()
    deployment.processor().spawn()
    worker = deployment.worker()
    worker.spawn()
    run = Run(deployment)
    run.until_scored_by("1")
    add_version(model, "2", PLUS["2"])
    run.until_scored_by("2")
    add_version(model, "9", 9.0, service="no_such_service")
    until(lambda: "no_such_service" in worker.command.log_path.read_text(), 30, "version 9 refused")
    assert run.burst() == {"2"}
    add_version(model, "3", PLUS["3"])
    run.until_scored_by("3")
    forebay(deployment, "rollback")
    run.until_scored_by("2")
    forebay(deployment, "rollback")
    run.until_scored_by("1")
    worker.check_running()
    scored = predictions(deployment.place)
    assert sorted(each["source"] for each in scored) == sorted(
        f"{deployment.place.topic}[{partition}]@{offset}" for partition, offset in run.published.payments
    )
    for each in scored:
        total = sum(float(value) for value in each["features"].values() if value is not None)
        assert each["scores"]["total"] == pytest.approx(total + PLUS[each["version"]], rel=1e-4)
