"""Turns the library's errors that end membership into errors that say what can be done."""

from __future__ import annotations

import structlog
from aiokafka.errors import KafkaError, KafkaTimeoutError

from forebay.pipelines.errors import Crashed, ForebayError
from forebay.pipelines.feature_processor.membership.denied import denied

log = structlog.get_logger("forebay.process")


class CanRejoin(ForebayError):
    """The group was left for a reason that passes: the process can join it again, with new clients."""


class BrokersWentAway(CanRejoin):
    """The brokers could not be reached, or not for long enough."""


class ClientFailed(CanRejoin):
    """The Kafka client lives and does not work; another one may."""


def explained(crash: BaseException) -> ForebayError:
    """Translates what ended the app into Forebay's own errors; what is unknown is logged with its traceback."""
    if isinstance(crash, ForebayError):
        return crash
    if (denial := denied(crash)) is not None:
        return denial
    if isinstance(crash, KafkaError) and _passes(crash):
        return BrokersWentAway(f"the brokers went away: {crash!r}")
    log.error("unexpected", exc_info=crash)
    return Crashed(
        f"the feature processor crashed: {crash!r}; the log has the traceback; started again it goes on from its "
        f"progress"
    )


def _passes(crash: KafkaError) -> bool:
    """Tells whether new clients may go on after this error.

    A plain `KafkaError` is how aiokafka hands on that a task of its own has ended unexpectedly, such as on metadata
    that name no broker.
    """
    return bool(crash.retriable) or isinstance(crash, KafkaTimeoutError) or type(crash) is KafkaError
