"""The front: asks the gate, counts, and leads to the door of a path."""

from __future__ import annotations

import time
from collections.abc import Mapping

from starlette.types import Message, Receive, Scope, Send

from forebay.serving.access.errors import AccessError
from forebay.serving.access.gate import Gate
from forebay.serving.access.visit import Visit
from forebay.serving.http import metrics
from forebay.serving.web.door import Door
from forebay.serving.web.headers import header
from forebay.serving.web.response import respond

OPEN_PATHS = frozenset({"/healthz", "/livez", "/readyz"})
"""What an orchestrator asks without a credential."""


class Front:
    """The outermost ASGI application."""

    def __init__(
        self, hot: Mapping[str, Door], surface: Door, surface_paths: frozenset[str], gate: Gate | None
    ) -> None:
        """Args:
        hot: path, or first part of paths, -> door.
        surface: everything else, lifespan included.
        surface_paths: its paths, by which metrics are labelled.
        gate: None: everybody is let in.
        """
        self._hot = hot
        self._surface = surface
        self._labels = {path: path for path in (*hot, *surface_paths)}
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection scope."""
        if scope["type"] != "http":
            await self._surface(scope, receive, send)
            return
        started = time.perf_counter()
        status = "none"

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._lead(scope, receive, counted)
        finally:
            route = self._labels.get(scope["path"]) or self._labels.get(_first_part(scope["path"]), "other")
            metrics.REQUESTS.labels(route, status).inc()
            metrics.REQUEST_SECONDS.labels(route).observe(time.perf_counter() - started)

    async def _lead(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        door = self._hot.get(path) or self._hot.get(_first_part(path), self._surface)
        if self._gate is None or path in OPEN_PATHS:
            await door(scope, receive, send)
            return
        try:
            async with self._gate.let_in(Visit(door.name, door.need(path)), header(scope, b"authorization")):
                await door(scope, receive, send)
        except AccessError as error:
            await respond(door.render(error), send)


def _first_part(path: str) -> str:
    return path[: path.find("/", 1)] if path.find("/", 1) > 0 else path
