"""Calls a function repeatedly, on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

import structlog

log = structlog.get_logger("forebay.every")


class Every:
    """A thread that calls a function at an interval, from entering the context until leaving it."""

    def __init__(self, seconds: float, call: Callable[[], object], name: str) -> None:
        """Args:
        name: of the thread.
        """
        self._seconds = seconds
        self._call = call
        self._ended = threading.Event()
        # A daemon, since a call may hang on a server that does not answer.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Every:
        """Starts the thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Makes no further call, and does not wait for the present one."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                self._call()
            except Exception:
                log.exception("unexpected, going on", thread=self._thread.name)
