"""Why a request is turned away before a door answers it. No message repeats a credential."""

from __future__ import annotations

from typing import NamedTuple

from forebay.pipelines.errors import ForebayError
from forebay.serving.access.principal import Need, Principal

SEND = "send a key or token of this endpoint as `authorization: Bearer <token>`"
"""The repair, over HTTP and gRPC alike: names of headers have no case."""


class AccessError(ForebayError):
    """A principal is not let in."""


class Unauthenticated(AccessError):
    """There is no credential, or it is not valid."""


class Forbidden(AccessError):
    """The principal is known and lacks a scope."""

    def __init__(self, principal: Principal, need: Need) -> None:
        super().__init__(f"{principal.id} has no scope {need.scope!r}: ask the operator of this endpoint for it")


class Rate(NamedTuple):
    """Where a principal stands with its rate."""

    burst: int
    """Requests at once."""
    window_s: int
    """Time after which as many are there again."""
    left: int
    """Requests that may follow at once."""
    reset_s: int
    """Time after which the burst is whole again."""


class TooManyRequests(AccessError):
    """The principal asks for more than its limits allow."""

    def __init__(self, message: str, wait_s: int, rate: Rate | None) -> None:
        """Args:
        wait_s: after which another attempt makes sense.
        rate: None: it is not the rate that is exceeded.
        """
        super().__init__(message)
        self.wait_s = wait_s
        self.rate = rate


class KeysUnavailable(AccessError):
    """The keys that tokens are checked with could not be loaded yet."""
