"""Asks brokers about topics and groups."""

from __future__ import annotations

import contextlib
import hashlib

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from forebay.pipelines.adapters.kafka.access import STARTING_S, Access, denied
from forebay.pipelines.adapters.kafka.connection import Brokers, client_config
from forebay.pipelines.adapters.kafka.producer import AWAY
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.errors import SettingsError
from forebay.pipelines.process.watchdog import step

log = structlog.get_logger("forebay.kafka")


def new_admin(brokers: Brokers, access: Access | None = None) -> AdminClient:
    """Makes an admin client. It logs nothing: what fails is raised by each call."""
    own = {"log_level": 0}
    return AdminClient(access.config(own) if access else client_config(brokers, own))


class Topics:
    """Questions about topics, answered by the brokers."""

    def __init__(self, brokers: Brokers, timeout_s: float = 5.0) -> None:
        """Args:
        timeout_s: after how long without an answer it says that it waits.
        """
        self._brokers = brokers
        self._access = Access(brokers)
        self._admin = new_admin(brokers, self._access)
        self._timeout_s = timeout_s

    def incarnation(self, topic: str) -> Incarnation:
        """Looks up a topic's present incarnation: its id and number of partitions; waits for brokers that are away.

        Raises:
            SettingsError: the topic does not exist, or the brokers refuse to describe it, or the client as such.
        """
        while True:
            step(f"asking brokers about topic {topic}")
            asked = self._admin.describe_topics(TopicCollection([topic]), request_timeout=self._timeout_s)
            try:
                described = asked[topic].result()
                break
            except KafkaException as error:
                reason: KafkaError = error.args[0]
                if reason.code() not in AWAY:
                    repair = denied(reason, f"describe topic {topic!r}") or "create it first"
                    raise SettingsError(f"topic {topic!r} can't be described: {error}; {repair}") from error
                self._access.check(STARTING_S, self._admin)
                log.warning("waiting for the broker", brokers=str(self._brokers), error=reason.str())
        self._access.granted()
        return Incarnation(topic, str(described.topic_id), len(described.partitions))

    def glance(self, *topics: str) -> dict[str, Incarnation]:
        """Returns those of the topics that the brokers describe now: one that does not exist is left out, as all are
        that are not answered in time.
        """
        found = {}
        for topic, asked in self._admin.describe_topics(
            TopicCollection(list(topics)), request_timeout=self._timeout_s
        ).items():
            with contextlib.suppress(KafkaException):
                described = asked.result()
                found[topic] = Incarnation(topic, str(described.topic_id), len(described.partitions))
        return found


def group_name(project: str, role: str, *parts: str) -> str:
    """Names a consumer group: the same project, role and parts give the same name."""
    suffix = "." + hashlib.blake2b("\0".join(parts).encode(), digest_size=4).hexdigest() if parts else ""
    return f"{project}.{role}{suffix}"
