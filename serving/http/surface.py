"""The routes that FastAPI answers, as a door."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from forebay.serving.access.principal import Action, Need
from forebay.serving.http.error_table import render
from forebay.serving.web.response import Rendered

_NEEDS = {"/metrics": Need(Action.METRICS)}
"""By path; the others tell what is served."""


class Surface:
    """FastAPI's application. Implements `Door`."""

    name = "http"

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection scope, lifespan included."""
        await self._app(scope, receive, send)

    def need(self, path: str) -> Need:
        """See `Door`."""
        return _NEEDS.get(path, Need(Action.MODELS))

    def render(self, error: Exception) -> Rendered:
        """See `Door`."""
        return render(error)
