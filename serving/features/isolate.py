"""Finds the entities on which a batch fails, in a bounded number of runs, and evaluates all others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from forebay.pipelines.errors import StoreRefused, StoreUnavailable

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

GROW_AFTER = 2
"""So many runs in a row must succeed before the next one is twice as long."""


def isolate(
    items: Sequence[Item],
    run: Callable[[Sequence[Item]], Sequence[Outcome]],
    alone: Callable[[Item, Exception], Outcome],
) -> list[Outcome]:
    """Runs items together, and finds one outcome for each, in order; an item is at fault only if it fails alone.

    A run that fails is tried again at half its length, and later runs begin at that length: where everything fails,
    the items are soon run one by one, each exactly once. The length doubles again after two successes in a row. Runs
    of several items that fail are therefore at most log2(n) + 1 more than half the runs that succeed, and all runs
    together at most 1.5 n + log2(n) + 1. Errors are not compared: many name the item in their text.

    Args:
        run: evaluates neighbours together: one outcome per item.
        alone: the outcome of an item that failed alone.

    Raises:
        StoreUnavailable, StoreRefused: of a run; no item is at fault.
    """
    outcomes: list[Outcome] = []
    length, succeeded = len(items), 0
    while len(outcomes) < len(items):
        part = items[len(outcomes) : len(outcomes) + length]
        try:
            outcomes += run(part)
        except (StoreUnavailable, StoreRefused):
            raise
        except Exception as error:
            succeeded = 0
            if len(part) == 1:
                outcomes.append(alone(part[0], error))
            length = max(1, len(part) // 2)
        else:
            succeeded += 1
            if succeeded == GROW_AFTER:
                length, succeeded = 2 * length, 0
    return outcomes
