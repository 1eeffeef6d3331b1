"""Turns what aiokafka raises where an ACL is missing into an error with the repair."""

from __future__ import annotations

from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError

from forebay.pipelines.errors import SettingsError


def denied(error: BaseException | None) -> SettingsError | None:
    """Makes the error that ends the process; None where no ACL is missing."""
    if isinstance(error, GroupAuthorizationFailedError):
        what = f"read consumer group {_named(error)}"
    elif isinstance(error, TopicAuthorizationFailedError):
        what = f"read topic {_named(error)}"
    else:
        return None
    return SettingsError(f"the brokers refuse to let the processor read: {error!r}; allow the user to {what}")


def _named(error: BaseException) -> str:
    """Lists the topics or groups that an error of aiokafka names."""
    (names,) = error.args or ("",)
    return ", ".join(repr(each) for each in ([names] if isinstance(names, str) else sorted(names)))
