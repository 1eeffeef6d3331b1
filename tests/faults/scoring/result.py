"""What came of schedules over scoring."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from benchmarks.shared.machine import Machine, this_machine


class ScoringResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one seed."""

    seed: int
    faults: list[str]
    """In order."""
    events: int
    recovered_s: float
    """From the end of the last fault until every event was scored and committed; the bound where some were not."""
    restarts: int
    """Processes that ended with the status that asks to be started again, and were."""
    seconds: float
    compared: int = 0
    """Predictions whose features were compared with the oracle's."""
    newer: int = 0
    """Of these, how many were made with a definition that came later."""
    aborted: int = 0
    """Records of aborted transactions that were on the topic, among the events."""
    failure: str = ""
    """Empty: every event was scored exactly once in time, with the oracle's features."""
    unjudged: str = ""
    """Why nothing can be said: the harness, or a server that it runs, failed."""


class ScoringReport(msgspec.Struct, frozen=True, kw_only=True):
    """`faults-scoring.json`."""

    machine: Machine
    passed: int
    failed: int
    unjudged: int
    slowest_s: float
    """The longest time from a last fault until every event was scored, of the seeds that passed."""
    restarts: int
    compared: int
    newer: int
    aborted: int = 0
    seeds: list[ScoringResult]


def report_of(results: Sequence[ScoringResult]) -> ScoringReport:
    """The sum of all seeds."""
    failed, unjudged = sum(bool(each.failure) for each in results), sum(bool(each.unjudged) for each in results)
    good = [each.recovered_s for each in results if not (each.failure or each.unjudged)]
    return ScoringReport(
        machine=this_machine(),
        passed=len(good),
        failed=failed,
        unjudged=unjudged,
        slowest_s=max(good, default=0.0),
        restarts=sum(each.restarts for each in results),
        compared=sum(each.compared for each in results),
        newer=sum(each.newer for each in results),
        aborted=sum(each.aborted for each in results),
        seeds=sorted(results, key=lambda each: each.seed),
    )
