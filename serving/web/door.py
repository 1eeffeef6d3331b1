"""What a door is to those before it."""

from __future__ import annotations

from typing import Protocol

from starlette.types import Receive, Scope, Send

from forebay.serving.access.principal import Need
from forebay.serving.web.openapi import Described
from forebay.serving.web.response import Rendered


class Door(Protocol):
    """A protocol on HTTP. An ASGI application."""

    name: str
    """The protocol's, as metrics and the audit log say it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        ...

    def need(self, path: str) -> Need | None:
        """Returns what a request on this path asks to do; None: nothing that needs a scope."""
        ...

    def render(self, error: Exception) -> Rendered:
        """Renders an error in the words of the protocol."""
        ...


class MountedDoor(Door, Protocol):
    """A door beside the application's own routes."""

    def describe(self) -> Described:
        """Describes its routes in OpenAPI."""
        ...
