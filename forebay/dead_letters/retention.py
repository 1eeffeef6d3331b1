"""Finds how old a record may be when it is written: a topic's retention counts from the record's own timestamp."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import ConfigResource, ResourceType

from forebay.pipelines.adapters.kafka.access import Access, said
from forebay.pipelines.adapters.kafka.admin import new_admin
from forebay.pipelines.adapters.kafka.connection import Brokers
from forebay.pipelines.errors import SettingsError

TO_BE_READ_MS = 3_600_000
"""How long a replayed record must stay, so that processors and workers can read it."""

ASK_S = 10.0


def oldest_kept_ms(brokers: Brokers, topic: str, now_ms: int) -> int | None:
    """Returns the oldest timestamp in ms with which a record may be written now; None means any.

    A segment is removed once its newest record is too old, so an old record may vanish within minutes, unread, where
    no newer ones follow it.

    Raises:
        SettingsError: the brokers do not say.
    """
    access = Access(brokers)
    admin = new_admin(brokers, access)  # to be kept until it has answered
    asked = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)], request_timeout=ASK_S)
    try:
        (answer,) = asked.values()
        found: Any = answer.result()
    except KafkaException as error:
        access.check(0, admin)
        may = f"describe the configuration of topic {topic!r}"
        raise SettingsError(f"topic {topic!r}: its retention can't be read: {said(error.args[0], may)}") from error
    settings = {name: entry.value for name, entry in found.items()}
    retention_ms = int(settings.get("retention.ms") or -1)
    if retention_ms < 0 or "delete" not in (settings.get("cleanup.policy") or "delete"):
        return None
    if settings.get("message.timestamp.type") == "LogAppendTime":
        return None
    return now_ms - retention_ms + TO_BE_READ_MS
