"""What came of seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from benchmarks.shared.machine import Machine, this_machine


class SeedResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one seed."""

    seed: int
    faults: dict[str, int]
    """Those that had something to work on."""
    ending: str = ""
    """What was done to a topic at the end, refused by the processors and repaired as they told; empty: nothing."""
    transactions: bool = False
    """Whether the producer of events wrote in transactions, and aborted some of them."""
    events: int
    rows: int
    """Compared, over all views and comparisons."""
    routed_duplicates: int
    """Records that had been routed before: none of them may count."""
    seconds: float
    failure: str = ""
    """What the product did wrong. Empty: every row is, to the bit, the fold of its entity's events."""
    unjudged: str = ""
    """Why nothing can be said: the harness, or a server that it runs, failed."""
    details: str = ""
    """Of either: what led to it, and the ends of the logs. To be shown, not to be kept."""


class FaultsReport(msgspec.Struct, frozen=True, kw_only=True):
    """`faults.json`."""

    machine: Machine
    jobs: int
    """Seeds side by side."""
    seconds: float
    passed: int
    failed: int
    unjudged: int
    events: int
    rows: int
    """Compared with the oracle, over all seeds."""
    routed_duplicates: int
    faults: dict[str, int]
    endings: dict[str, int]
    seeds: list[SeedResult]


def report_of(results: Sequence[SeedResult], jobs: int, seconds: float) -> FaultsReport:
    """The sum of all seeds."""
    faults: Counter[str] = Counter()
    for each in results:
        faults.update(each.faults)
    failed, unjudged = sum(bool(each.failure) for each in results), sum(bool(each.unjudged) for each in results)
    return FaultsReport(
        machine=this_machine(),
        jobs=jobs,
        seconds=round(seconds, 1),
        passed=len(results) - failed - unjudged,
        failed=failed,
        unjudged=unjudged,
        events=sum(each.events for each in results),
        rows=sum(each.rows for each in results),
        routed_duplicates=sum(each.routed_duplicates for each in results),
        faults=dict(sorted(faults.items())),
        endings=dict(sorted(Counter(each.ending for each in results if each.ending).items())),
        seeds=[msgspec.structs.replace(each, details="") for each in sorted(results, key=lambda each: each.seed)],
    )
