"""Every client on a Kafka with TLS, SASL and ACLs: client x mechanism x fault -> outcome. docs/security.md shows it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from confluent_kafka import Message, Producer
from confluent_kafka.admin import AclOperation, ResourceType

from forebay.dead_letters.marks import marks_topic
from forebay.dead_letters.replay import Place
from forebay.dead_letters.replay import replay as send_again
from forebay.dead_letters.selection import Selection
from forebay.history.replay import Published, publish
from forebay.local.topics import create_topics
from forebay.local.valkey import Valkey
from forebay.pipelines.adapters.kafka.connection import KafkaConnection, variable_of
from forebay.pipelines.adapters.kafka.topic_reader import TopicReader
from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.contract.kafka.recipients import Recipients
from forebay.pipelines.contract.kafka.record import dead_letter_headers, kept_headers
from forebay.pipelines.contract.plan.definition import definition
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.plan.plan_file import write_plan
from forebay.pipelines.errors import DecodeError, ForebayError
from forebay.serving.worker.build import watermark_clock
from forebay.serving.worker.loop import Worker
from forebay.serving.worker.outgoing import OutgoingRecord
from forebay.serving.worker.settings import WorkerSettings
from forebay.store.rebuild import check_stopped
from tests.e2e.broker import Outgoing, members_missing, produce, read_topic, until
from tests.kafka.apache_kafka import jars_missing
from tests.kafka.secured import PASSWORD, USER, SecuredKafka, TokenEndpoint
from tests.local.test_up import Up
from tests.oracle import Window
from tests.support.build import HOUR, SOURCE, make_view

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

LOST_S = 100.0
"""So long a process may take to start, and to end where it may do something no more."""

FOREBAY = str(Path(sys.executable).with_name("forebay"))
PLAN = Plan(PLAN_FORMAT, "shop", "0" * 16, "", (SOURCE,), (make_view([Window("count", "", HOUR, HOUR)]),), (), (), ())
TOPIC, LETTERS, OUTPUT = SOURCE.topic, f"{SOURCE.topic}.dlq", "scores"


class Site(NamedTuple):
    """Where the clients run."""

    kafka: SecuredKafka
    plan_file: Path
    redis: str
    tokens: str

    def connection(self, listener: str, properties: dict[str, str]) -> KafkaConnection:
        return KafkaConnection(self.kafka.brokers(listener), properties)

    def oidc(self) -> dict[str, str]:
        kept = {name: value for name, value in self.kafka.sasl("OAUTHBEARER").items() if name not in _OF_PASSWORDS}
        return kept | {
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.client.id": USER,
            "sasl.oauthbearer.client.secret": PASSWORD,
            "sasl.oauthbearer.token.endpoint.url": self.tokens,
        }


_OF_PASSWORDS = {"sasl.username", "sasl.password"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if reason := jars_missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("secured")
    write_plan(PLAN, folder / "plan")
    with SecuredKafka(folder) as kafka, Valkey() as store, TokenEndpoint() as tokens:
        create_topics(kafka.address, dict.fromkeys((TOPIC, LETTERS, marks_topic(LETTERS), OUTPUT), 1))
        produce(kafka.address, TOPIC, [Outgoing(0, b"k", b"v")])
        produce(kafka.address, LETTERS, [Outgoing(0, b"k", b"v")])
        for right in (DESCRIBE, READ, WRITE, CREATE, CONFIGS, READ_GROUP, DESCRIBE_GROUP, TRANSACT, SEND, WRITE_OUTPUT):
            kafka.allow(USER, *right)
        yield Site(kafka, folder / "plan", store.address, tokens.url)


def process(site: Site, kafka: KafkaConnection) -> None:
    """Until it has joined its group, or ended by itself."""
    _process(site, kafka, lambda: members_missing(site.kafka.address, "shop.process", 1) is None)


def process_that_joins(site: Site, kafka: KafkaConnection) -> None:
    """Until it has ended by itself: what it lacks it learns as a member."""
    _process(site, kafka, lambda: False)


def _process(site: Site, kafka: KafkaConnection, works: Callable[[], bool]) -> None:
    environment = {variable_of(name): value for name, value in kafka.properties.items()}
    options = ("--plan", str(site.plan_file), "--brokers", str(kafka), "--redis", site.redis)
    with subprocess.Popen(
        (FOREBAY, "process", *options, "--session-timeout-ms", "6000"),
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            until(lambda: child.poll() is not None or works(), LOST_S, "a member or an end")
        finally:
            ended = child.poll() is not None
            child.terminate()
        assert child.stderr is not None
        lines = child.stderr.read().splitlines()
    if ended:
        assert PASSWORD not in "".join(lines)
        raise Ended(child.returncode, lines[-1])


class Ended(ForebayError):
    """A process that ended by itself."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status


def worker(site: Site, kafka: KafkaConnection, delivery: str = "exactly_once") -> None:
    """Until it has scored a record."""
    group = f"score.{uuid.uuid4().hex}"
    scored = len(read_topic(site.kafka.address, OUTPUT))
    settings = WorkerSettings(kafka, TOPIC, group, delivery, session_timeout_ms=6_000)  # type: ignore[arg-type]
    made = Worker(settings, _echo)
    done = threading.Event()

    def stop() -> None:
        try:
            until(lambda: done.is_set() or len(read_topic(site.kafka.address, OUTPUT)) > scored, 60, "a score")
        finally:
            made.stop()

    watching = threading.Thread(target=stop)
    watching.start()
    try:
        made.run()
    finally:
        done.set()
        watching.join()


def worker_at_least_once(site: Site, kafka: KafkaConnection) -> None:
    worker(site, kafka, "at_least_once")


def _echo(messages: Sequence[Message]) -> list[OutgoingRecord]:
    return [OutgoingRecord(OUTPUT, None, each.value(), []) for each in messages]


def topics(site: Site, kafka: KafkaConnection) -> None:
    create_topics(kafka, {f"{TOPIC}.{uuid.uuid4().hex}": 1}, timeout_s=8.0)


def replay(site: Site, kafka: KafkaConnection) -> None:
    publish([Published(0, TOPIC, b"k", b"v")], kafka, 0, lambda *_: None)


def dlq(site: Site, kafka: KafkaConnection) -> None:
    reader = TopicReader(kafka)
    try:
        assert list(reader.messages(LETTERS))
    finally:
        reader.close()


def dlq_replay(site: Site, kafka: KafkaConnection) -> None:
    """Until it has sent a letter that is new."""
    at = _letter(site)
    sent = send_again(
        Place(PLAN, SOURCE, LETTERS, kafka), Selection.made((), [str(at)], None, None), 0.0, lambda _: None
    )
    assert sent.sent == 1


def _letter(site: Site) -> Position:
    """Writes a dead letter of a record of its own, and returns where that was."""
    at = Position(TOPIC, 0, uuid.uuid4().int >> 72)
    whom = Recipients("shop", (definition(PLAN.stream_views[0]),))
    now_ms = time.time_ns() // 1_000_000
    headers = kept_headers([], now_ms) + dead_letter_headers("process", DecodeError("broken"), at, now_ms, whom)
    producer = Producer({"bootstrap.servers": site.kafka.address})
    producer.produce(LETTERS, b"v", b"k", partition=0, headers=headers)
    assert producer.flush(30) == 0
    return at


def serve_by_watermark(site: Site, kafka: KafkaConnection) -> None:
    """The clock of `forebay serve --clock watermark`, which is all that asks brokers there."""
    watermark_clock(PLAN, kafka, site.redis).now_ms()


def rebuild(site: Site, kafka: KafkaConnection) -> None:
    check_stopped(PLAN, kafka)


Client = Callable[[Site, KafkaConnection], None]
CLIENTS: tuple[Client, ...] = (
    *(process, worker, worker_at_least_once, topics, replay, dlq, dlq_replay),
    *(serve_by_watermark, rebuild),
)


MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "mTLS")


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_every_client_works_with(mechanism: str, site: Site) -> None:
    if mechanism == "mTLS":
        kafka = site.connection("mutual", site.kafka.certificate(USER))
    else:
        properties = site.oidc() if mechanism == "OAUTHBEARER" else site.kafka.sasl(mechanism)
        kafka = site.connection("sasl", properties)
    for client in (*CLIENTS[1:], process):  # last: `rebuild` refuses to while one runs
        client(site, kafka)


def wrong_password(site: Site) -> KafkaConnection:
    return site.connection("sasl", site.kafka.sasl("SCRAM-SHA-512") | {"sasl.password": "not-this"})


def wrong_secret(site: Site) -> KafkaConnection:
    return site.connection("sasl", site.oidc() | {"sasl.oauthbearer.client.secret": "not-this"})


def unknown_authority(site: Site) -> KafkaConnection:
    return site.connection("sasl", site.kafka.sasl("PLAIN") | {"ssl.ca.location": str(site.kafka.stranger)})


def expired_broker_certificate(site: Site) -> KafkaConnection:
    return site.connection("expired", site.kafka.sasl("PLAIN"))


def expired_own_certificate(site: Site) -> KafkaConnection:
    return site.connection("mutual", site.kafka.certificate("expired", expired=True))


def untrusted_own_certificate(site: Site) -> KafkaConnection:
    return site.connection("mutual", site.kafka.certificate("untrusted", of_stranger=True))


REFUSED = {
    wrong_password: ("SCRAM-SHA-512", "give the user and password that they know"),
    wrong_secret: ("OAUTHBEARER", "give the client id and secret that the token endpoint knows"),
    unknown_authority: ("PLAIN", "name the authority that signed their certificate"),
    expired_broker_certificate: ("PLAIN", "give them one that has not expired"),
    expired_own_certificate: ("mTLS", "give a client certificate that they trust and that has not expired"),
    untrusted_own_certificate: ("mTLS", "give a client certificate that they trust"),
}


@pytest.mark.parametrize("fault", REFUSED, ids=lambda fault: fault.__name__)
def test_who_is_not_let_in_ends_with_the_repair(fault: Callable[[Site], KafkaConnection], site: Site) -> None:
    kafka = fault(site)
    with ThreadPoolExecutor(len(CLIENTS)) as pool:
        errors = dict(zip(CLIENTS, pool.map(lambda client: error_of(client, site, kafka), CLIENTS), strict=True))
    for client, error in errors.items():
        assert (REFUSED[fault][1] in str(error), error.status) == (True, 2), (client.__name__, error.status, str(error))


def up_with(site: Site, folder: Path, properties: dict[str, str]) -> Up:
    """`forebay up` on these brokers: topics, processor, worker, and an endpoint whose clock is the watermark."""
    file = folder / "kafka.properties"
    file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    return Up(folder, f"--brokers={site.kafka.brokers('sasl')}", f"--kafka-properties={file}", "--partitions=1")


def test_all_of_it_runs_on_one_machine(site: Site, tmp_path: Path) -> None:
    for right in ((GROUPS, "payments", AclOperation.READ), (TRANSACTIONS, "payments", AclOperation.WRITE)):
        site.kafka.allow(USER, *right)
    up = up_with(site, tmp_path, site.kafka.sasl("SCRAM-SHA-512"))
    try:
        assert "/docs" in up.wait_ready()
    finally:
        up.kill()


def test_none_of_it_is_started_with_a_wrong_password(site: Site, tmp_path: Path) -> None:
    up = up_with(site, tmp_path, wrong_password(site).properties)
    try:
        said, _ = up.process.communicate(timeout=120)
    finally:
        up.kill()
    assert (up.process.returncode, "give the user and password that they know" in said) == (2, True), said


TOPICS, GROUPS, TRANSACTIONS = ResourceType.TOPIC, ResourceType.GROUP, ResourceType.TRANSACTIONAL_ID
DESCRIBE = (TOPICS, TOPIC, AclOperation.DESCRIBE)
READ = (TOPICS, TOPIC, AclOperation.READ)
WRITE = (TOPICS, TOPIC, AclOperation.WRITE)
CREATE = (TOPICS, TOPIC, AclOperation.CREATE)
WRITE_OUTPUT = (TOPICS, OUTPUT, AclOperation.WRITE)
READ_GROUP = (GROUPS, "s", AclOperation.READ)
DESCRIBE_GROUP = (GROUPS, "s", AclOperation.DESCRIBE)
CONFIGS = (TOPICS, TOPIC, AclOperation.DESCRIBE_CONFIGS)
SEND = (TRANSACTIONS, "forebay.history.replay.", AclOperation.WRITE)
TRANSACT = (TRANSACTIONS, "score.", AclOperation.WRITE)

DENIED: list[tuple[Client, tuple[tuple[ResourceType, str, AclOperation], ...], str]] = [
    (process, (), "describe topic 'payments'"),
    (process, (DESCRIBE,), "read consumer group 'shop.process'"),
    (process_that_joins, (DESCRIBE, READ_GROUP), "read topic 'payments'"),
    (worker, (), "describe topic 'payments'"),
    (worker, (READ, READ_GROUP), "write as transactional id score."),
    (worker, (READ, TRANSACT), "read consumer group 'score."),
    (worker, (DESCRIBE, READ_GROUP, TRANSACT), "read and describe topic 'payments'"),
    (worker, (READ, READ_GROUP, TRANSACT), "write to topic 'scores'"),
    (worker_at_least_once, (READ, READ_GROUP), "write to topic 'scores'"),
    (topics, (DESCRIBE,), "create topic 'payments."),
    (replay, (DESCRIBE,), "write to topic 'payments'"),
    (dlq, (), "describe and read topic 'payments.dlq'"),
    (dlq, (DESCRIBE,), "read topic 'payments.dlq'"),
    (dlq_replay, (), "describe and read topic 'payments.dlq'"),
    (dlq_replay, (READ,), "write as transactional id 'forebay.history.replay.payments.dlq'"),
    (dlq_replay, (READ, SEND), "describe the configuration of topic 'payments'"),
    (dlq_replay, (READ, SEND, CONFIGS), "write to topic 'payments"),
    (serve_by_watermark, (), "describe topic 'payments'"),
    (rebuild, (), "describe consumer group 'shop.process'"),
]


@pytest.mark.parametrize(
    ("client", "rights", "repair"), DENIED, ids=[f"{each[0].__name__}: {each[2]}" for each in DENIED]
)
def test_a_missing_acl_ends_the_client_with_the_repair(client: Client, rights, repair: str, site: Site) -> None:
    user = f"user{DENIED.index((client, rights, repair))}"
    for right in rights:
        site.kafka.allow(user, *right)
    error = error_of(client, site, site.connection("mutual", site.kafka.certificate(user)))
    assert f"allow the user to {repair}" in str(error)
    assert error.status == 2


def error_of(client: Client, site: Site, kafka: KafkaConnection) -> ForebayError:
    with pytest.raises(ForebayError) as raised:
        client(site, kafka)
    assert PASSWORD not in str(raised.value)
    return raised.value


def losing_worker(site: Site, kafka: KafkaConnection, lose: Callable[[], None], delivery: str = "exactly_once") -> None:
    """A worker that scores, and loses a right."""
    settings = WorkerSettings(kafka, TOPIC, f"score.{uuid.uuid4().hex}", delivery, session_timeout_ms=6_000)  # type: ignore[arg-type]
    made = Worker(settings, _echo)
    scored = len(read_topic(site.kafka.address, OUTPUT))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(made.run)
        try:
            until(lambda: running.done() or len(read_topic(site.kafka.address, OUTPUT)) > scored, 60, "a score")
            lose()
            _feed(site, running.done)
        finally:
            made.stop()
        running.result()


def losing_worker_at_least_once(site: Site, kafka: KafkaConnection, lose: Callable[[], None]) -> None:
    losing_worker(site, kafka, lose, "at_least_once")


def losing_process(site: Site, kafka: KafkaConnection, lose: Callable[[], None]) -> None:
    """A processor that has joined, and loses a right."""
    lost = False

    def works() -> bool:
        nonlocal lost
        if not lost and members_missing(site.kafka.address, "shop.process", 1) is None:
            lose()
            lost = True
        if lost:
            produce(site.kafka.address, TOPIC, [Outgoing(0, b"k", b"v")])
        return False

    _process(site, kafka, works)


Losing = Callable[[Site, KafkaConnection, Callable[[], None]], None]

LOSING: list[tuple[Losing, tuple[ResourceType, str, AclOperation], str]] = [
    (losing_process, READ, "read topic 'payments'"),
    (losing_process, READ_GROUP, "read consumer group 'shop.process'"),
    (losing_process, WRITE, "write to topic 'payments.dlq'"),
    (losing_worker, READ, "read and describe topic 'payments'"),
    (losing_worker, READ_GROUP, "read consumer group 'score."),
    (losing_worker, TRANSACT, "write as transactional id score."),
    (losing_worker, WRITE_OUTPUT, "write to topic 'scores'"),
    (losing_worker_at_least_once, WRITE_OUTPUT, "write to topic 'scores'"),
]


@pytest.mark.parametrize(
    ("client", "right", "repair"), LOSING, ids=[f"{each[0].__name__}: {each[2]}" for each in LOSING]
)
def test_a_right_that_is_taken_away_ends_the_client_with_the_repair(client, right, repair: str, site: Site) -> None:
    user = f"loser{LOSING.index((client, right, repair))}"
    for each in (DESCRIBE, READ, WRITE, READ_GROUP, TRANSACT, WRITE_OUTPUT):
        site.kafka.allow(user, *each)
    kafka = site.connection("mutual", site.kafka.certificate(user))
    with pytest.raises(ForebayError) as raised:
        client(site, kafka, lambda: site.kafka.revoke(user, *right))
    assert (f"allow the user to {repair}" in str(raised.value), raised.value.status) == (True, 2), str(raised.value)


def _feed(site: Site, ended: Callable[[], bool]) -> None:
    """Records that are read, scored and refused, until the client has ended."""

    def once() -> bool:
        produce(site.kafka.address, TOPIC, [Outgoing(0, b"k", b"v")])
        return ended()

    until(once, LOST_S, "an end")
