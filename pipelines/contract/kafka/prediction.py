"""Defines the prediction record, which consumers of a prediction topic read."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from forebay.pipelines.contract.kafka.position import Position


class Timings(msgspec.Struct, frozen=True, gc=False):
    """Durations of the steps of a prediction, in milliseconds."""

    waited: float
    """For the feature processor to contain the event (the barrier)."""
    read: float
    on_demand: float
    model: float


class Prediction(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One scored event, as JSON on the prediction topic; the record's key is the event's key."""

    id: str
    """Derived from the event's position, the incarnation of its topic and the model: the same event always has the same
    id, and an event of a topic that was deleted and made anew has another one than what was there before."""
    source: str
    """`topic[partition]@offset` of the scored event."""
    source_timestamp_ms: int
    """Kafka's timestamp of the scored event's record, ms since the epoch; -1: it has none."""
    model: str
    version: str
    model_hash: str
    """First 16 hex digits of the model file's SHA-256."""
    entities: dict[str, Any]
    """Join keys of the feature service."""
    event_ms: int
    """Event time: features are as of this time."""
    scores: dict[str, float | None]
    """By name; null where the model's output is not a number."""
    fences: dict[str, str | None]
    """Per stream view, the last record its row contained; null if the entity had no row."""
    complete: dict[str, bool]
    """Per stream view, whether every window the model takes held all its events."""
    ahead_ms: dict[str, int]
    """Per stream view, how much later than `event_ms` an event in its windows may be."""
    barrier_met: bool
    """Whether views of the scored topic contained the event itself in time."""
    timings_ms: Timings
    request: dict[str, Any] = {}
    """The request fields the features were computed with."""
    features: dict[str, Any] | None = None
    """The model's input by full feature name, where the worker is told to include it."""
    ages_ms: dict[str, int | None] | None = None
    """Per view, event time minus the row's event time."""
    whole_from_ms: dict[str, int] | None = None
    """Per view that is not complete, the earliest time as of which its row still held all events."""
    deployment: int | None = None
    """Generation of the deployment table that chose the model; 0: there is none."""


def prediction_id(position: Position | str, topic_id: str, model: str, version: str) -> str:
    """Returns 32 hex digits, the same for the same event and model version.

    Args:
        position: of the event, or as it is written.
        topic_id: Kafka's id of the topic: positions compare only within one.
    """
    return hashlib.blake2b(f"{position}\0{topic_id}\0{model}\0{version}".encode(), digest_size=16).hexdigest()
