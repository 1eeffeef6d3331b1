"""Remembers which newer plan a process refuses, and says so for as long as it does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog

from forebay.pipelines.adapters import metrics
from forebay.pipelines.adapters.refusals import Refusals
from forebay.pipelines.errors import PlanError

log = structlog.get_logger("forebay.plan")

UNREADABLE = "unreadable"
"""The name of a plan whose file can't be used."""


class RefusedPlan:
    """The plan that one process refuses; at most one at a time."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._refusals = Refusals(metrics.PLAN_REFUSED.labels, _warn, monotonic_s)

    def refuse(self, plan: str, error: Exception) -> None:
        """Refuses a plan since an attempt to take it over has failed, which is counted."""
        metrics.SWITCH_ERRORS.labels(type(error).__name__).inc()
        self.hold(plan, error)

    def hold(self, plan: str, error: Exception) -> None:
        """Refuses a plan, in place of the one that was refused before."""
        for other in self._refusals.errors.keys() - {plan}:
            self._refusals.clear(other)
        self._refusals.refuse(plan, error)

    def look_at_file(self, unusable: PlanError | None) -> None:
        """Refuses a plan file that can't be used, until it can.

        Args:
            unusable: why it can't be used; None: it can.
        """
        if unusable is not None:
            self.hold(UNREADABLE, unusable)
        else:
            self._refusals.clear(UNREADABLE)

    def say_again(self) -> None:
        """Repeats the log line if a plan is refused, and the last line is long ago."""
        for plan in self._refusals.errors:
            self._refusals.say_again(plan)

    def clear(self) -> None:
        """Stops refusing."""
        for plan in self._refusals.errors:
            self._refusals.clear(plan)


def _warn(plan: str, **why: Any) -> None:
    log.warning("plan refused, going on with the plan there was", plan=plan, **why)
