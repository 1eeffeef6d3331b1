"""A record that the worker writes."""

from __future__ import annotations

from typing import NamedTuple

from forebay.pipelines.contract.kafka.record import Headers
from forebay.pipelines.steps.dead_letter_limit import GivenUp


class OutgoingRecord(NamedTuple):
    """A record to be produced in the same transaction as the offsets."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    given_up: GivenUp | None = None
    """The event that has no scores, and why; None: it has, or the record is of a model in the shadow."""
