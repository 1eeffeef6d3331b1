"""Finds the records that a model scores: all but those replayed for other readers that had refused them."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import Message

from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.contract.kafka.recipients import Recipients, only_for
from forebay.pipelines.contract.kafka.record import REPLAY_OF_HEADER
from forebay.pipelines.errors import DecodeError


def is_for(recipients: Recipients | None, project: str, model: str) -> bool:
    """Tells whether a model of a project scores a record."""
    return recipients is None or (recipients.project == project and recipients.model == model)


def for_model(
    messages: Sequence[Message], project: str, model: str
) -> tuple[list[Message], list[tuple[Message, DecodeError]]]:
    """Splits records into those that the model scores and those whose addressee can't be read."""
    taken: list[Message] = []
    unclear: list[tuple[Message, DecodeError]] = []
    for message in messages:
        try:
            if is_for(only_for(message.headers() or ()), project, model):
                taken.append(message)
        except DecodeError as error:
            unclear.append((message, error))
    return taken, unclear


def counted_at(message: Message, position: Position) -> int:
    """Finds the offset at which views take a record's event: its own, or that of the record that was replayed.

    Views pass over a record that is replayed for a model alone: to wait for it there would be in vain.
    """
    for name, value in message.headers() or ():
        if name == REPLAY_OF_HEADER:
            first = Position.parse((value or b"").decode(errors="replace"))
            if first is not None and first[:2] == position[:2] and first.offset < position.offset:
                return first.offset
    return position.offset
