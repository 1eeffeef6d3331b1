"""Every error Forebay raises on purpose. Each message names the object, the place and the repair."""

from __future__ import annotations


class ForebayError(Exception):
    """Root of all errors that are explained to the user without a traceback."""

    status = 2
    """Of the process that it ends: something has to be repaired first, do not start it again."""


class RestartNeeded(ForebayError):
    """The process can't go on, and nothing has to be repaired: started again, it goes on from what is committed."""

    status = 75
    """EX_TEMPFAIL of sysexits.h: whoever supervises the process starts it again."""


class Crashed(ForebayError):
    """Nobody expected it, so nobody knows a repair: a fault of Forebay or of a library, which may not come again."""

    status = 1
    """Python's own for an exception that nobody catches."""


class PlanError(ForebayError):
    """The registry, or the plan file made from it, can't be used."""


class SettingsError(ForebayError):
    """A setting or a command-line option can't be used."""


class RecordError(ForebayError):
    """One record can't be used; it becomes a dead letter and the partition goes on."""

    reason = "record"


class DecodeError(RecordError):
    """The payload is not what the source's schema says: a bug of the producer."""

    reason = "decode"


class InvalidEvent(RecordError):
    """The payload decodes, but its values can't be: a required value is null, a time is impossible."""

    reason = "invalid"


class WrongKey(RecordError):
    """The record is not keyed as its source's tag `key` says, so its entity's records are not all in one partition."""

    reason = "wrong_key"


class TransformError(RecordError):
    """The view's own function failed on the event."""

    reason = "transform"


class BrokersUnavailable(RestartNeeded):
    """Kafka did not answer a command that does not wait for it."""


class StoreUnavailable(RestartNeeded):
    """Redis did not answer; nothing was acknowledged, the same batch is tried again."""


class StoreRolledBack(ForebayError):
    """Redis lost writes that it had acknowledged: all is read again from the progress it still has."""


class StoreRefused(ForebayError):
    """Redis answered, and refuses for a reason that does not pass: a password, a permission, a type, its settings."""


class SchemasUnavailable(StoreUnavailable):
    """The schema registry did not answer; as with the store, the same batch is tried again."""


class ProgressMismatch(ForebayError):
    """The progress kept in Redis belongs to another incarnation of the topic: refused, never skipped."""


class TooManyDeadLetters(ForebayError):
    """So many records can't be used that the fault is hardly theirs; nothing of the present batch is committed."""


class ModelError(ForebayError):
    """A model is missing, corrupt, or does not fit its feature service."""


class RequestError(ForebayError):
    """A scoring request can't be answered; `path` is where in the request (`$.field`)."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


class FeatureRefused(RequestError):
    """A policy refuses the request: of a feature that is missing, stale or incomplete, or of a model.

    `reason` is one of those of `contract.kafka.unscored`.
    """

    def __init__(self, path: str, message: str, reason: str) -> None:
        super().__init__(path, message)
        self.reason = reason
