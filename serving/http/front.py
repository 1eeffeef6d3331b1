"""The front: asks the gate, counts, and leads to the door of a path."""

from __future__ import annotations

import time
from collections.abc import Mapping

from starlette.types import Message, Receive, Scope, Send

from forebay.serving.access.errors import AccessError, TooManyRequests
from forebay.serving.access.gate import Gate
from forebay.serving.access.visit import Visit
from forebay.serving.http import metrics
from forebay.serving.web.door import Door
from forebay.serving.web.headers import header
from forebay.serving.web.rate_headers import rate_headers, retry_after
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
        path, status = scope["path"], "none"
        door = self._hot.get(path) or self._hot.get(_first_part(path), self._surface)
        gate = None if path in OPEN_PATHS else self._gate
        visit = Visit(door.name, None if gate is None else door.need(path))

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
                if visit.rate is not None:
                    message["headers"] = [*message["headers"], *rate_headers(visit.rate)]
            await send(message)

        try:
            if gate is None:
                await door(scope, receive, counted)
            else:
                await self._answer(gate, visit, door, scope, receive, counted)
        finally:
            if gate is not None:
                gate.record(visit, status)
            route = self._labels.get(path) or self._labels.get(_first_part(path), "other")
            metrics.REQUESTS.labels(route, status).inc()
            metrics.REQUEST_SECONDS.labels(route).observe(time.perf_counter() - started)

    @staticmethod
    async def _answer(gate: Gate, visit: Visit, door: Door, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with gate.let_in(visit, header(scope, b"authorization")):
                await door(scope, receive, send)
        except AccessError as error:
            answer = door.render(error)
            if isinstance(error, TooManyRequests):
                visit.rate = error.rate
                answer = answer._replace(headers=[*answer.headers, retry_after(error)])
            await respond(answer, send)


def _first_part(path: str) -> str:
    return path[: path.find("/", 1)] if path.find("/", 1) > 0 else path
