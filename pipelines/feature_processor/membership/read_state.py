"""Reads what aiokafka knows of partitions, and has no public name for."""

from __future__ import annotations

from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import FetchError
from faust.types import TP


def positioned(consumer: Any) -> dict[TP, Any]:
    """Finds what aiokafka knows of each assigned partition that it has a position in.

    Args:
        consumer: aiokafka's; None before it is made.
    """
    subscription = consumer._subscription.subscription if consumer is not None else None
    if subscription is None or subscription.assignment is None:
        return {}
    states = {TP(*tp): subscription.assignment.state_value(tp) for tp in subscription.assignment.tps}
    return {tp: state for tp, state in states.items() if state is not None and state.has_valid_position}


def failed(consumer: Any, tp: TP) -> bool:
    """Tells whether an error waits to be raised: aiokafka's position is then past a record that nobody was handed."""
    return isinstance(consumer._fetcher._records.get(TopicPartition(*tp)), FetchError)


def end_of(consumer: Any, tp: TP) -> int | None:
    """Finds the offset after the last record that may be read; None while no fetch of the partition was answered."""
    state = positioned(consumer).get(tp)
    if state is None:
        return None
    stable: int | None = state.lso
    highwater: int | None = state.highwater
    return stable if stable is not None and stable >= 0 else highwater
