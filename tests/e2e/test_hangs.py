"""What lives and does not work is noticed: new clients where that helps, else the end of the process and a restart."""

from __future__ import annotations

import os
import random
import sys
from itertools import islice
from pathlib import Path

import pytest

from forebay.local.process import ChildProcess, Command
from forebay.pipelines.process.status import START_AGAIN
from tests.e2e.broker import until
from tests.e2e.conftest import Deploy
from tests.e2e.deployment import Deployment
from tests.e2e.hanging import DEMAND
from tests.e2e.payments import Disorder, random_payments
from tests.e2e.payments_run import Published, predictions, publish
from tests.support.restarts import asks_for_restart

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

BURST = 60
HANG_AFTER_S = 3


class Run:
    """A processor and a worker, one of which hangs on demand."""

    def __init__(self, deployment: Deployment, kind: str, command: str) -> None:
        self.deployment = deployment
        deployment.create_topics()
        self.demand = deployment.place.folder / "hang"
        self.payments = random_payments(random.Random(kind), 10 * BURST, Disorder(late_share=0.0))
        self.published = Published({}, {})
        self.children = {"process": deployment.processor(), "score": deployment.worker()}
        self.hanging = hanging(self.children[command], kind, self.demand)
        self.children[command].command = self.hanging
        for child in self.children.values():
            child.spawn()
        deployment.wait_for_members(processors=1, workers=1)
        self.scored()
        self.demand.touch()

    def scored(self) -> None:
        """Publishes a burst, and returns when all is scored, exactly once."""
        publish(self.deployment.place, islice(self.payments, BURST), self.published)
        self.wait()

    def wait(self) -> None:
        wanted = len(self.published.payments)
        until(lambda: len(predictions(self.deployment.place)) >= wanted, 60, f"{wanted} predictions")
        sources = [each["source"] for each in predictions(self.deployment.place)]
        assert len(sources) == len(set(sources)) == wanted

    def log(self) -> str:
        return self.hanging.log_path.read_text()


def hanging(child: ChildProcess, kind: str, demand: Path) -> Command:
    _, *args = child.command.args
    return Command(
        child.command.name,
        (sys.executable, "-m", "tests.e2e.hanging", kind, *args, f"--hang-after-s={HANG_AFTER_S}"),
        child.command.log_path,
        {**os.environ, DEMAND: str(demand)},
    )


@pytest.mark.parametrize(
    ("kind", "command", "shown"),
    [
        ("hang_in_commit", "score", "in send_offsets_to_transaction"),
        ("hang_in_function", "process", "in prepare"),
    ],
)
def test_a_step_that_does_not_return_ends_the_process_with_all_stacks_and_a_restart_goes_on(
    deploy: Deploy, kind: str, command: str, shown: str
) -> None:
    run = Run(deploy(kind.replace("_", "")), kind, command)
    publish(run.deployment.place, islice(run.payments, BURST), run.published)
    child = run.children[command]
    until(lambda: not child.running, 60, f"the end of {command}")
    assert asks_for_restart(child)
    assert f"status={START_AGAIN}" in run.log()
    assert shown in run.log()
    child.spawn()
    run.wait()
    run.scored()


def test_a_worker_that_reads_nothing_while_others_could_makes_new_clients(deploy: Deploy) -> None:
    run = Run(deploy("readnothing"), "read_nothing", "score")
    until(lambda: not run.demand.exists(), 30, "silence")
    run.scored()
    assert "records are there, and the consumer brings none" in run.log()
    run.children["score"].check_running()


def test_a_processor_whose_group_coordination_has_ended_makes_new_clients(deploy: Deploy) -> None:
    run = Run(deploy("coordination"), "end_coordination", "process")
    until(lambda: not run.demand.exists(), 30, "the end of a task")
    until(lambda: "starting again" in run.log(), 30, "new clients")
    assert "Did we not perform bootstrap?" in run.log()
    run.scored()
    run.children["process"].check_running()
