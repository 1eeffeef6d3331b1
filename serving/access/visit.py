"""Visits: one request of a principal, from the gate to its answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

from forebay.serving.access.errors import Forbidden, Rate
from forebay.serving.access.principal import Need, Principal


class Asked(NamedTuple):
    """The entities of a request."""

    join_keys: Sequence[str]
    entities: Iterable[Mapping[str, Any]]
    """Each with its join keys, and perhaps other fields; read once, on another thread."""


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
        self.rate: Rate | None = None
        """None: there is no limit."""
        self.asked: Asked | None = None
        """None: it asks for no entities, or they could not be read."""


PRESENT: ContextVar[Visit | None] = ContextVar("visit", default=None)
"""The visit whose answer this task makes; None: everybody may do everything."""


def demand(need: Need) -> None:
    """Raises `Forbidden` unless who asks may do this too. For what only the body of a request tells."""
    visit = PRESENT.get()
    if visit is not None and visit.principal is not None and not visit.principal.may(need):
        raise Forbidden(visit.principal, need)


def note(join_keys: Sequence[str], entities: Iterable[Mapping[str, Any]]) -> None:
    """Notes which entities the present visit asks for, for the audit log."""
    visit = PRESENT.get()
    if visit is not None:
        visit.asked = Asked(join_keys, entities)
