"""A replay that is killed with signal 9 and started again sends every chosen record once, and says what it will do."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Message, Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from forebay.local.topics import create_topics
from forebay.pipelines.adapters.kafka.admin import new_admin
from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.contract.kafka.recipients import Recipients, only_for
from forebay.pipelines.contract.kafka.record import dead_letter_headers, kept_headers
from forebay.pipelines.contract.plan.definition import definition
from forebay.pipelines.contract.plan.plan_file import write_plan
from forebay.pipelines.errors import DecodeError, InvalidEvent
from forebay.pipelines.process.status import START_AGAIN
from tests.e2e.broker import read_topic, until
from tests.e2e.deployment import FOREBAY, run_forebay
from tests.faults.acts.broker import LONGEST_STALL_S, STILL_BUSY_S
from tests.faults.load import busy
from tests.kafka.apache_kafka import ApacheKafka, apache_kafka
from tests.serving.endpoint import PLAN

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

LETTERS = 900
PARTITIONS = 3
WRITTEN_MS = int(time.time() * 1_000) - 86_400_000
"""Yesterday."""
VIEW = Recipients(PLAN.project, (definition(PLAN.stream_views[0]),))
MODEL = Recipients(PLAN.project, model="risk")


class Bench:
    """A topic, its letters, and the command line on them."""

    def __init__(self, brokers: str, topic: str, folder: Path) -> None:
        self.brokers, self.topic = brokers, topic
        self.plan_file = folder / "plan.msgpack"
        source = msgspec.structs.replace(PLAN.sources[0], topic=topic, brokers=brokers)
        write_plan(msgspec.structs.replace(PLAN, sources=(source,)), self.plan_file)
        create_topics(brokers, {topic: PARTITIONS, f"{topic}.dlq": 1, f"{topic}.late": 1})

    def write(self, count: int, refused_by: Recipients = VIEW, first: int = 0, **more: bytes) -> None:
        """Dead letters of records at offsets from `first` on, over all partitions; every other one is invalid."""
        producer = Producer({"bootstrap.servers": self.brokers})
        for at in range(first, first + count):
            error = DecodeError("broken") if at % 2 else InvalidEvent("impossible")
            position = Position(self.topic, at % PARTITIONS, at)
            headers = kept_headers([("trace", b"%d" % at), ("nothing", None)], WRITTEN_MS + at)
            headers += dead_letter_headers("process", error, position, WRITTEN_MS, refused_by)
            producer.produce(f"{self.topic}.dlq", b"\xff%d" % at, b"key %d" % at, headers=headers)
            producer.poll(0)
        assert producer.flush(30) == 0

    def command(self, *args: str) -> list[str]:
        return [FOREBAY, "dlq", *args, "--plan", str(self.plan_file)]

    def run(self, *args: str) -> str:
        done = run_forebay(*self.command(*args)[1:])
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout

    def replay(self, *args: str) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.run("replay", self.topic, "--json", *args))
        return found

    def sent(self) -> list[Message]:
        return read_topic(self.brokers, self.topic)

    def numbers(self) -> Counter[int]:
        """The numbers of the records that were sent."""
        return Counter(int(each.value()[1:]) for each in self.sent())


@pytest.fixture
def bench(kafka: ApacheKafka, tmp_path: Path) -> Callable[[str], Bench]:
    return lambda name: Bench(kafka.bootstrap, f"dlq.{name}", tmp_path)


def test_a_replay_that_is_killed_again_and_again_sends_every_chosen_record_once(bench) -> None:
    letters = bench("killed")
    letters.write(LETTERS)
    letters.write(50, MODEL, first=LETTERS)
    letters.write(20)  # a batch that was read again wrote them twice
    for sent in (1, 200, 420):
        args = letters.command("replay", letters.topic, "--rate", "400", "--reason", "decode")
        child = subprocess.Popen(args, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=os.environ.copy())
        try:
            until(lambda sent=sent: len(letters.sent()) >= sent, 60, f"{sent} records")
        finally:
            child.kill()
            child.wait()
    # What a killed one left open is not ended by time alone: the next one ends it.
    letters.replay("--reason", "decode")
    assert letters.numbers() == dict.fromkeys(range(1, LETTERS + 50, 2), 1)
    found = letters.replay("--reason", "decode")
    assert (found["sent"], found["sent_before"]) == (0, LETTERS // 2 + 25 + 10)


def test_brokers_that_stand_still_on_a_busy_machine_delay_a_replay_and_double_nothing(tmp_path: Path) -> None:
    """It may end with the status that means "start me again"; then it is."""
    with apache_kafka() as broker:
        letters = Bench(broker.bootstrap, "dlq.stalled", tmp_path)
        letters.write(LETTERS)
        args = letters.command("replay", letters.topic, "--rate", "200")
        child = subprocess.Popen(args, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=os.environ.copy())
        try:
            until(lambda: len(letters.sent()) >= 100, 60, "the first records")
            with busy(os.cpu_count() or 1):
                broker.pause()
                time.sleep(LONGEST_STALL_S)
                broker.resume()
                time.sleep(STILL_BUSY_S)
            status = child.wait(120)
        finally:
            child.kill()
            child.wait()
        assert status in (0, START_AGAIN)
        if status:
            letters.replay()
        assert letters.numbers() == dict.fromkeys(range(LETTERS), 1)
        assert letters.replay()["sent"] == 0


def test_what_is_sent_is_the_record_that_was_refused_for_those_that_refused_it(bench) -> None:
    letters = bench("same")
    letters.write(3)
    letters.write(1, MODEL, first=3)
    letters.replay()
    sent = {each.offset() + 100 * each.partition(): each for each in letters.sent()}
    assert len(sent) == 4
    for each in sent.values():
        at = int(each.value()[1:])
        headers = dict(each.headers())
        assert (each.partition(), each.key(), each.timestamp()[1]) == (at % 3, b"key %d" % at, WRITTEN_MS + at)
        assert (headers["trace"], headers["nothing"]) == (b"%d" % at, None)
        assert headers["forebay-replay-of"] == f"{letters.topic}[{at % 3}]@{at}".encode()
        assert only_for(each.headers()) == (MODEL if at == 3 else VIEW)
        assert not {"forebay-reason", "forebay-error", "forebay-timestamp-ms"} & headers.keys()


def test_only_what_is_chosen_is_sent_and_a_dry_run_sends_nothing(bench) -> None:
    letters = bench("chosen")
    letters.write(12)
    dry = letters.replay("--dry-run", "--position", f"{letters.topic}[0]@3-6")
    assert (dry["chosen"], dry["sent"]) == (2, 2)
    assert letters.sent() == []
    letters.replay("--position", f"{letters.topic}[0]@3-6")
    letters.replay("--position", f"{letters.topic}[1]", "--reason", "invalid")
    assert letters.replay("--until", "2013-10-01")["chosen"] == 0
    assert letters.numbers() == dict.fromkeys((3, 6, 4, 10), 1)
    assert letters.replay("--since", "2013-10-01")["sent"] == 8


def test_what_can_not_be_sent_is_counted_with_the_reason(bench) -> None:
    letters = bench("unsendable")
    letters.write(1, Recipients("another", ("v",)))
    letters.write(1, Recipients(PLAN.project, ("gone@1",)), first=1)
    producer = Producer({"bootstrap.servers": letters.brokers})
    producer.produce(f"{letters.topic}.dlq", b"x", headers=[("forebay-reason", b"decode")])
    assert producer.flush(10) == 0
    found = letters.replay()
    assert (found["chosen"], found["sent"]) == (3, 0)
    assert len(found["not_sent"]) == 3
    assert any("gone" in each for each in found["not_sent"])
    assert any("'another'" in each for each in found["not_sent"])


def test_a_record_that_retention_would_remove_unread_is_not_sent(bench) -> None:
    """Kafka removes a segment by the newest timestamp in it: an old record may be gone before anyone reads it."""
    letters = bench("old")
    admin = new_admin(letters.brokers)

    def retain(ms: str) -> None:
        entry = ConfigEntry("retention.ms", ms, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, letters.topic, incremental_configs=[entry])
        admin.incremental_alter_configs([resource])[resource].result()

    letters.write(3)
    retain("80000000")
    found = letters.replay()
    assert (found["sent"], len(found["not_sent"])) == (0, 1)
    retain("-1")
    assert letters.replay()["sent"] == 3


def test_list_counts_and_show_shows_one(bench) -> None:
    letters = bench("listed")
    letters.write(9)
    letters.replay("--reason", "invalid", "--position", f"{letters.topic}[0]")
    groups = json.loads(letters.run("list", "--json"))
    counts = {(each["reason"], each["partition"]): (each["count"], each["replayed"]) for each in groups}
    assert counts["invalid", f"{letters.topic}[0]"] == (2, 2)
    assert counts["decode", f"{letters.topic}[0]"] == (1, 0)
    assert sum(count for count, _ in counts.values()) == 9
    table = letters.run("list", letters.topic)
    for part in (f"{letters.topic}.dlq", "invalid", "process", "replayed", "[2]"):
        assert part in table
    shown = letters.run("show", f"{letters.topic}.dlq[0]@1")
    for part in ("broken", f"{letters.topic}[1]@1", "hex ff 31", "trace: 1", "view card_activity@1111"):
        assert part in shown
    missing = run_forebay(*letters.command("show", f"{letters.topic}.dlq[0]@99")[1:])
    assert missing.returncode == 2
    assert "there is no record" in missing.stderr
