"""Remembers what a process refuses, and says so for as long as it does: by a metric, and by a repeated log line."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from forebay.pipelines.adapters.harmless import Harmless
from forebay.pipelines.errors import ForebayError

REPEAT_S = 60.0
"""How often the line is repeated."""


class Refusals:
    """What one process refuses, each by its name."""

    def __init__(
        self,
        gauge: Callable[[str, str], Harmless],
        warn: Callable[..., Any],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        gauge: from a name and the type of its error to the gauge that is 1 while it is refused.
        warn: logs that a name is refused; takes the name, and `reason`, `error` and `exc_info` by keyword.
        """
        self._gauge = gauge
        self._warn = warn
        self._now_s = monotonic_s
        self._warn_at_s: dict[str, float] = {}
        self.errors: Mapping[str, Exception] = {}
        """Why each name is refused. Replaced, never changed: another thread may read it."""

    def refuse(self, name: str, error: Exception) -> None:
        """Refuses a name, and says so at once unless it was refused for this reason before."""
        if repr(self.errors.get(name)) != repr(error):
            self.clear(name)
            self.errors = {**self.errors, name: error}
            self._gauge(name, type(error).__name__).set(1)
        self.say_again(name)

    def say_again(self, name: str) -> None:
        """Repeats the log line if the name is refused, and the last line is `REPEAT_S` ago."""
        error = self.errors.get(name)
        if error is None or self._now_s() < self._warn_at_s.get(name, float("-inf")):
            return
        self._warn_at_s[name] = self._now_s() + REPEAT_S
        # An error that Forebay did not raise on purpose is a bug: its traceback is worth the lines.
        unexpected = None if isinstance(error, ForebayError) else error
        self._warn(name, reason=type(error).__name__, error=str(error), exc_info=unexpected)

    def clear(self, name: str) -> None:
        """Stops refusing a name."""
        if (error := self.errors.get(name)) is not None:
            self._gauge(name, type(error).__name__).set(0)
        self.errors = {other: kept for other, kept in self.errors.items() if other != name}
        self._warn_at_s.pop(name, None)
