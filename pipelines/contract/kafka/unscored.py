"""Defines the unscored record: an event that a policy refuses to score, with the features that were seen."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Reason = Literal["missing", "stale", "incomplete", "not_held", "not_a_number", "failed"]


class Unscored(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One event without scores, as JSON on the topic of unscored events; the record's key is the event's key.

    Fields of the same name mean the same as in a prediction.
    """

    id: str
    """That of the prediction which is not there."""
    source: str
    """`topic[partition]@offset` of the event."""
    source_timestamp_ms: int
    model: str
    version: str
    model_hash: str
    entities: dict[str, Any]
    event_ms: int
    reason: Reason
    """`missing`, `stale`, `incomplete`: the policy of a feature; `not_held`: a value that the model's input can't hold;
    `not_a_number`: a score is none; `failed`: a model that scores in the shadow failed."""
    where: str
    """Full name of the feature, or `scores.<name>`; empty for `failed`."""
    error: str
    """For people: what was refused, and the repair."""
    features: dict[str, Any]
    """What was seen, by full name: the model's input, after defaults; null: missing."""
    fences: dict[str, str | None]
    complete: dict[str, bool]
    ahead_ms: dict[str, int]
    ages_ms: dict[str, int | None]
    """Per view, event time minus the row's event time; null: no row."""
    barrier_met: bool
    request: dict[str, Any] = {}
    whole_from_ms: dict[str, int] | None = None
    deployment: int | None = None
    """Generation of the deployment table; 0: there is none."""
