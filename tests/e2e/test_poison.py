"""A topic of garbage stops each process before it commits; with a higher limit it goes on where it stopped."""

from __future__ import annotations

import pytest

from forebay.local.process import ChildProcess
from forebay.pipelines.contract.kafka.topics import dead_letter_topic
from tests.e2e.broker import Outgoing, produce, read_topic, until
from tests.e2e.conftest import Deploy
from tests.e2e.deployment import Deployment, run_forebay

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

GARBAGE = 60
LIMIT = {"FOREBAY_MAX_DEAD_LETTERS": "50"}


def given_up(deployment: Deployment, stage: bytes) -> list[bytes]:
    """Positions of the dead letters of one process, in order."""
    letters = [dict(each.headers() or []) for each in read_topic(*_dead_letters(deployment))]
    return sorted(each["forebay-position"] for each in letters if each["forebay-stage"] == stage)


def _dead_letters(deployment: Deployment) -> tuple[str, str]:
    return deployment.place.brokers, dead_letter_topic(deployment.place.topic)


@pytest.mark.parametrize(("process", "stage"), [("processor", b"process"), ("worker", b"score")])
def test_garbage_stops_a_process_until_more_is_allowed(deploy: Deploy, process: str, stage: bytes) -> None:
    deployment = deploy(f"poison{stage.decode()}")
    deployment.create_topics()
    topic = deployment.place.topic
    offsets = produce(deployment.place.brokers, topic, [Outgoing(0, b"k", b"\xff garbage")] * GARBAGE)
    child: ChildProcess = getattr(deployment, process)()
    stopped = run_forebay(*child.command.args[1:], **LIMIT)
    assert stopped.returncode == 2, (stopped.stdout, stopped.stderr)
    line = stopped.stderr.splitlines()[-1]
    for part in ("error: 51 records in a row", f"{topic}[0]@{offsets[0]} to {topic}[0]@{offsets[50]}", "'decode'"):
        assert part in line
    assert len(given_up(deployment, stage)) <= 50
    child.spawn()
    everything = sorted(f"{topic}[0]@{offset}".encode() for offset in offsets)

    def all_given_up() -> bool:
        child.check_running()
        return len(given_up(deployment, stage)) >= GARBAGE

    until(all_given_up, 60, "all dead letters")
    assert given_up(deployment, stage) == everything
