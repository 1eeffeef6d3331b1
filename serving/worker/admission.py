"""Notices brokers that do not know the group protocol: librdkafka waits for them for ever, without a word."""

from __future__ import annotations

import time
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaException

from forebay.pipelines.errors import SettingsError
from forebay.serving.worker.generation import is_member
from forebay.serving.worker.settings import WorkerSettings

ADMITTED_S = 10.0
"""How long a group may take to make the worker a member, while its brokers answer other questions."""

_ANSWER_S = 1.0


class Admission:
    """Watches whether one consumer is admitted to its group."""

    def __init__(self, settings: WorkerSettings, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._now_s = monotonic_s
        self._began_s = monotonic_s()
        self._admitted = settings.group_protocol == "classic"

    def look(self, consumer: Consumer) -> None:
        """Raises where brokers answer but do not admit the consumer; called where nothing is read.

        Raises:
            SettingsError: the brokers answer, and have not made the consumer a member.
        """
        if self._admitted or self._now_s() < self._began_s + ADMITTED_S:
            return
        self._admitted = is_member(consumer.consumer_group_metadata())
        if self._admitted:
            return
        try:
            consumer.list_topics(self._settings.topic, _ANSWER_S)
        except KafkaException:
            self._began_s = self._now_s()  # the brokers are away: their time begins once they are back
            return
        raise SettingsError(
            f"group {self._settings.group!r} has not taken this worker for {ADMITTED_S:g} s with --group-protocol "
            "consumer, although the brokers answer: they need KIP-848 (Apache Kafka 4.0 or newer, its feature "
            "group.version at 1 or higher); use --group-protocol classic with others"
        )
