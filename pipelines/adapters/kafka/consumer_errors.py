"""Judges by its code what an error that a consumer hands out means.

`KafkaError.fatal()` does not tell: an error with code `_FATAL` ends librdkafka's consumer for good, is handed out once
with `fatal()` False, and is followed by silence.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog
from confluent_kafka import KafkaError

from forebay.pipelines.errors import RestartNeeded, SettingsError

log = structlog.get_logger("forebay.kafka")

PERSISTS_AFTER_S = 30.0
"""A broker that has just come back may not know its topics, or its users, for a while."""

REPEATED_AFTER_S = 10.0
"""The same error is one line in this time."""

_ENDED = {
    KafkaError._FATAL,
    KafkaError._FENCED,
    KafkaError._STATE,
    KafkaError._DESTROY,
    KafkaError._CRIT_SYS_RESOURCE,
    KafkaError.FENCED_INSTANCE_ID,
}
"""The consumer is of no further use; another one may be."""

_REFUSED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "allow the user to read and describe topic {topic!r}",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "allow the user to read consumer group {group!r}",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "allow the user what the broker's log says it was refused",
    KafkaError.TOPIC_EXCEPTION: "name another topic than {topic!r}",
    KafkaError.INVALID_GROUP_ID: "name another consumer group than {group!r}",
    KafkaError.UNSUPPORTED_VERSION: "use brokers that know what the client asks for",
}
"""The broker answered, and asking again can't help: code -> repair."""

_REFUSED_IF_IT_LASTS = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: "create topic {topic!r} (`forebay topics`)",
    KafkaError._UNKNOWN_TOPIC: "create topic {topic!r} (`forebay topics`)",
    KafkaError._UNKNOWN_PARTITION: "create topic {topic!r} with the partitions that it had",
    KafkaError._AUTHENTICATION: "give the user and password that the brokers know",
    KafkaError.SASL_AUTHENTICATION_FAILED: "give the user and password that the brokers know",
}
"""The same, unless something is read within `PERSISTS_AFTER_S`."""


class ConsumerErrors:
    """The errors of one consumer. Not thread-safe."""

    def __init__(self, topic: str, group: str, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._names = {"topic": topic, "group": group}
        self._now_s = monotonic_s
        self._lasting: tuple[KafkaError, float] | None = None
        """An error that may pass, and when it came."""
        self._logged_s: dict[int, float] = {}

    def meet(self, error: KafkaError) -> None:
        """Takes note of an error that the consumer handed out, and returns where it may go on.

        Raises:
            RestartNeeded: the consumer has ended.
            SettingsError: the brokers refuse it, with the repair.
        """
        code = error.code()
        if code in _ENDED:
            raise RestartNeeded(
                f"the consumer of topic {self._names['topic']!r} ended for good: {error.name()}: {error.str()}; "
                f"started again, the process goes on from the last commit"
            )
        if code in _REFUSED:
            raise self._refusal(error, _REFUSED[code])
        if code in _REFUSED_IF_IT_LASTS and self._lasting is None:
            self._lasting = (error, self._now_s())
        if self._now_s() >= self._logged_s.get(code, float("-inf")) + REPEATED_AFTER_S:
            self._logged_s[code] = self._now_s()
            log.warning("consumer", error=error.name(), said=error.str())

    def read(self) -> None:
        """Takes note that a record was read: nothing is refused any more."""
        self._lasting = None

    def look(self) -> None:
        """Raises an error that still lasts; called where nothing is read, since librdkafka hands some errors out only
        once.

        Raises:
            SettingsError: the brokers have refused for so long that asking again does not help.
        """
        if self._lasting is not None and self._now_s() >= self._lasting[1] + PERSISTS_AFTER_S:
            error = self._lasting[0]
            raise self._refusal(error, _REFUSED_IF_IT_LASTS[error.code()])

    def _refusal(self, error: KafkaError, repair: str) -> SettingsError:
        return SettingsError(
            f"topic {self._names['topic']!r} can't be read by group {self._names['group']!r}: {error.name()}: "
            f"{error.str()}; {repair.format(**self._names)}, then start again"
        )
