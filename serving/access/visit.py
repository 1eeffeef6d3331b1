"""Visits: one request of a principal, from the gate to its answer."""

from __future__ import annotations

from contextvars import ContextVar

from forebay.serving.access.errors import Forbidden
from forebay.serving.access.principal import Need, Principal


class Visit:
    """What is known of a request."""

    def __init__(self, door: str, need: Need | None) -> None:
        """Args:
        door: the protocol that it came by.
        need: what it asks to do; None: nothing that needs a scope.
        """
        self.door = door
        self.need = need
        self.principal: Principal | None = None
        """None: nobody was identified."""


PRESENT: ContextVar[Visit | None] = ContextVar("visit", default=None)
"""The visit whose answer this task makes; None: everybody may do everything."""


def demand(need: Need) -> None:
    """Raises `Forbidden` unless who asks may do this too. For what only the body of a request tells."""
    visit = PRESENT.get()
    if visit is not None and visit.principal is not None and not visit.principal.may(need):
        raise Forbidden(visit.principal, need)
