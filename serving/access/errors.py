"""Why a request is turned away before a door answers it. No message repeats a credential."""

from __future__ import annotations

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


class KeysUnavailable(AccessError):
    """The keys that tokens are checked with could not be loaded yet."""
