"""The front: checks the token, counts, and leads to a hot route or to the FastAPI surface."""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from forebay.serving.http import metrics
from forebay.serving.http.error_table import Unauthorized, render
from forebay.serving.web.response import respond

OPEN_PATHS = frozenset({"/healthz", "/livez", "/readyz"})
"""What an orchestrator asks without a token."""


class Front:
    """The outermost ASGI application."""

    def __init__(
        self, hot: Mapping[str, ASGIApp], surface: ASGIApp, surface_paths: frozenset[str], token: str | None
    ) -> None:
        """Args:
        hot: path, or first part of paths, -> route.
        surface: everything else, lifespan included.
        surface_paths: its paths, by which metrics are labelled.
        token: what clients must send; None: nothing.
        """
        self._hot = hot
        self._surface = surface
        self._labels = {path: path for path in (*hot, *surface_paths)}
        self._expected = f"Bearer {token}".encode() if token else None

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
        if not self._may_enter(scope):
            error = Unauthorized("send the token of this endpoint as `Authorization: Bearer <token>`")
            await respond(render(error), send)
            return
        path = scope["path"]
        route = self._hot.get(path) or self._hot.get(_first_part(path), self._surface)
        await route(scope, receive, send)

    def _may_enter(self, scope: Scope) -> bool:
        if self._expected is None or scope["path"] in OPEN_PATHS:
            return True
        sent = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        return hmac.compare_digest(sent, self._expected)


def _first_part(path: str) -> str:
    return path[: path.find("/", 1)] if path.find("/", 1) > 0 else path
