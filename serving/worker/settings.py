"""Settings of the worker, and of how it scores."""

from __future__ import annotations

from typing import Literal

import msgspec

from forebay.pipelines.adapters.kafka.admin import group_name
from forebay.pipelines.adapters.kafka.connection import Brokers
from forebay.pipelines.errors import SettingsError
from forebay.pipelines.steps.dead_letter_limit import Allowance

SESSION_TIMEOUT_MS = 10_000

GroupProtocol = Literal["classic", "consumer"]


class WorkerSettings(msgspec.Struct, frozen=True):
    """Read once, by the entry point.

    Raises:
        SettingsError: two of them do not go together.
    """

    brokers: Brokers
    topic: str
    """The scored topic."""
    group: str
    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    instance: str = ""
    """Names this worker among its group for transactions; empty: a random name."""
    max_batch_records: int = 500
    max_in_flight_records: int = 5_000
    """Of the scored topic, that are scored and not committed; a larger batch is in flight alone."""
    max_in_flight_bytes: int = 16 << 20
    """Of what they became, the same way."""
    session_timeout_ms: int = SESSION_TIMEOUT_MS
    """A worker that is silent for so long loses its partitions; the brokers' affair with the protocol `consumer`."""
    static_membership: bool = False
    """Whether the group keeps a worker's partitions for its instance while it is restarted."""
    group_protocol: GroupProtocol = "classic"
    """`consumer`: the one of KIP-848, in which the brokers assign partitions one by one."""
    transaction_timeout_ms: int = 10_000
    """How long readers may wait for a transaction that a killed worker left open."""
    dead_letters: Allowance = Allowance()
    """How many it bears before it stops."""

    def __post_init__(self) -> None:
        if self.static_membership and not self.instance:
            raise SettingsError(
                "--static-membership needs a name that the worker has after a restart too: give each worker its own "
                "--instance, such as its host's or pod's name"
            )
        if self.group_protocol == "consumer" and self.session_timeout_ms != SESSION_TIMEOUT_MS:
            raise SettingsError(
                "--session-timeout-ms has no effect with --group-protocol consumer: set the brokers' "
                "group.consumer.session.timeout.ms, or the group's consumer.session.timeout.ms, and leave it out here"
            )


class ScoringSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the events of a topic become, read once, by the entry point."""

    topic: str
    """The scored topic."""
    output: str
    """The prediction topic."""
    brokers: Brokers
    redis: str
    """Feast connection string: host:port[,option=value...]."""
    schema_registry: str = ""
    """http(s)://[user:password@]host[:port]; empty: none."""
    feature_wait_ms: int
    """How long an event waits for features that contain it."""
    include_features: bool
    """Whether predictions carry the model's input."""


def worker_group(project: str, topic: str, output: str, model: str) -> str:
    """Names the consumer group of workers with the same output: each output of one topic and model is complete."""
    return group_name(project, "score", topic, output, model)
