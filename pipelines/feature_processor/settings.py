"""Settings of the feature processor."""

from __future__ import annotations

from pathlib import Path

import msgspec

from forebay.pipelines.adapters.kafka.connection import Brokers
from forebay.pipelines.process.watchdog import HANG_AFTER_S
from forebay.pipelines.steps.dead_letter_limit import Allowance


class ProcessorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Read once, by the entry point."""

    brokers: Brokers
    redis: str
    """Feast connection string: host:port[,option=value...]."""
    metrics_host: str
    metrics_port: int
    """0: no metrics page."""
    max_batch_records: int
    """Records fetched at once, over all partitions: as many as there are, up to this. The more there are of an
    entity, the fewer writes."""
    session_timeout_ms: int
    """How long a silent processor keeps its partitions."""
    ready_records: int = 10_000
    """How many records a ready view may be behind the others of its topic. So many are read again in a moment, and
    under load no view is ever much closer."""
    hang_after_s: float = HANG_AFTER_S
    """How long one step may last, before the process is ended to be started again."""
    dead_letters: Allowance = Allowance()
    """How many it bears, per topic, before it stops."""
    retire_after_s: float = 600.0
    """How long the state of a replaced definition stays at least, once no process computes it and no scorer leases it:
    other processes may not have switched yet."""
    plan_file: Path | None = None
    """Where a newer plan may appear while it runs; None: nowhere."""
    schema_registry: str = ""
    """http(s)://[user:password@]host[:port]; empty: none."""
