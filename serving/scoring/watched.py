"""Reports to the watchdog what the endpoint's scoring thread does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from forebay.pipelines.process.watchdog import WATCHDOG, step

Q = TypeVar("Q")
A = TypeVar("A")


def watched(run: Callable[[Sequence[Q]], A]) -> Callable[[Sequence[Q]], A]:
    """Wraps `run`, so the watchdog sees it while it answers a batch."""
    thread = WATCHDOG.watch("scoring thread")

    def answer(questions: Sequence[Q]) -> A:
        with thread.here():
            step(f"answering {len(questions)} requests")
            return run(questions)

    return answer
