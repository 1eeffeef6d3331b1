"""What goes wrong with the harness itself says nothing about the product, and is never counted as if it did."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from confluent_kafka import KafkaException
from redis import RedisError

from forebay.local.process import StackError
from forebay.pipelines.errors import BrokersUnavailable, ForebayError

T = TypeVar("T")

PATIENCE_S = 30.0


class HarnessError(ForebayError):
    """The harness, or a server that it runs, failed: the seed is not judged."""


@contextmanager
def harness(doing: str) -> Iterator[None]:
    """Of what the harness does itself, with its own servers and clients: a failure is its own."""
    try:
        yield
    except (KafkaException, RedisError, StackError, BrokersUnavailable, AssertionError) as error:
        raise HarnessError(f"{doing}: {error}") from error


def patiently(ask: Callable[[], T], asking: str) -> T:
    """The answer of a broker; one that has just come back may say for a moment that it does not know."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except KafkaException as error:
            if time.monotonic() > deadline:
                raise HarnessError(f"{asking}: no answer within {PATIENCE_S:g} s: {error}") from error
            time.sleep(0.1)
        except AssertionError as error:
            raise HarnessError(f"{asking}: {error}") from error
