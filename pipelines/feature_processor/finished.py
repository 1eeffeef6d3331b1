"""Waits for a thread to its end, also when the one who waits is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def finished(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `function` returns, called on another thread.

    A thread can't be cancelled. `asyncio.to_thread` alone returns at once when its task is cancelled, and so frees a
    lock that the task holds while the thread still uses the connection to the store that the lock guards. This waits
    until the thread has ended, and is cancelled then. A thread that does not end is noticed by the watchdog.
    """
    running = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait((running,))
        # What the thread raised is of no interest any more, but would be said to be never retrieved.
        running.cancelled() or running.exception()
        raise
