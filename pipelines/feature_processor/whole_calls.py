"""Calls on a thread that are never left before they have returned."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def whole_call(function: Callable[..., T], *args: object) -> T:
    """Calls a function on a thread; cancelling the call waits until the function has returned.

    `asyncio.to_thread` alone leaves the thread running when it is cancelled: a lock around it would be free while the
    thread still uses what the lock guards, such as the topic's connection to the store.

    Raises:
        asyncio.CancelledError: it was cancelled meanwhile; what the function returned or raised is dropped.
    """
    work = asyncio.ensure_future(asyncio.to_thread(function, *args))
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait((work,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not work.cancelled():
            work.exception()  # taken, so that asyncio does not report it as lost
        raise cancelled
    return work.result()
