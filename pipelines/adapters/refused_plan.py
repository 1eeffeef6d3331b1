"""Says which newer plan is refused and why, for as long as it is."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from forebay.pipelines.adapters import metrics
from forebay.pipelines.errors import ForebayError, PlanError

log = structlog.get_logger("forebay.plan")

SAY_EVERY_S = 60.0
"""How often the line is repeated."""

UNREADABLE = "unreadable"
"""What a plan is called whose file can't be used."""


class RefusedPlan:
    """Of one process: at most one plan. A metric stays, and a line in the log is repeated, until it is cleared."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = monotonic_s
        self.plan = ""
        """Which one is refused; empty: none."""
        self._error: Exception | None = None
        self._say_at_s = 0.0

    def refuse(self, plan: str, error: Exception) -> None:
        """Takes note that an attempt to take over a plan has failed."""
        metrics.SWITCH_ERRORS.labels(type(error).__name__).inc()
        self.hold(plan, error)

    def hold(self, plan: str, error: Exception) -> None:
        """Takes note that a plan is refused, and says so if it is news."""
        if (self.plan, repr(self._error)) == (plan, repr(error)):
            self.say_again()
            return
        self.clear()
        self.plan, self._error = plan, error
        metrics.PLAN_REFUSED.labels(plan, type(error).__name__).set(1)
        self._say()

    def look_at_file(self, unusable: PlanError | None) -> None:
        """Takes note of whether the plan file can be used."""
        if unusable is not None:
            self.hold(UNREADABLE, unusable)
        elif self.plan == UNREADABLE:
            self.clear()

    def say_again(self) -> None:
        """Repeats the line if a plan is refused, and the last one is long ago."""
        if self._error is not None and self._now_s() >= self._say_at_s:
            self._say()

    def clear(self) -> None:
        """Takes note that no plan is refused any more."""
        if self._error is not None:
            metrics.PLAN_REFUSED.labels(self.plan, type(self._error).__name__).set(0)
        self.plan, self._error = "", None

    def _say(self) -> None:
        self._say_at_s = self._now_s() + SAY_EVERY_S
        unexpected = None if isinstance(self._error, ForebayError) else self._error
        log.warning(
            "plan refused, going on with the plan there was",
            plan=self.plan,
            reason=type(self._error).__name__,
            error=str(self._error),
            exc_info=unexpected,
        )
