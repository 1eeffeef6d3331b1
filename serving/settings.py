"""Settings of the worker."""

from __future__ import annotations

from typing import Literal

import msgspec

from pipelines.steps.poison import Allowance


class WorkerSettings(msgspec.Struct, frozen=True):
    """Read once, by the entry point."""

    brokers: str
    topic: str
    """The scored topic."""
    group: str
    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    instance: str = ""
    """Names this worker among its group for transactions; empty: a random name."""
    max_batch_records: int = 500
    session_timeout_ms: int = 10_000
    transaction_timeout_ms: int = 10_000
    """How long readers may wait for a transaction that a killed worker left open."""
    dead_letters: Allowance = Allowance()
    """How many it bears before it stops."""
