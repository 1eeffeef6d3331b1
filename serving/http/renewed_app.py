"""An application that is replaced while it serves; requests in flight are answered by the one they came to."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

from starlette.types import ASGIApp, Receive, Scope, Send

from forebay.serving.rollout.renewed import LOOK_S, Renewed

A = TypeVar("A", bound=ASGIApp)


class RenewedApp(Generic[A]):
    """The outermost ASGI application where plans may change."""

    def __init__(self, renewed: Renewed[A]) -> None:
        self._renewed = renewed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection scope; the first application's lifespan is that of all of them."""
        if scope["type"] != "lifespan":
            await self._renewed.present(scope, receive, send)
            return
        looking = asyncio.create_task(self._look())
        try:
            await self._renewed.present(scope, receive, send)
        finally:
            looking.cancel()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            # A newer application loads and warms its model first: not on the thread that answers.
            await asyncio.to_thread(self._renewed.look)
