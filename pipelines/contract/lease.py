"""Leases: which definitions of views scorers read, and until when at least.

One hash per project. A field names a definition (`contract.topology.progress_field`). Its value is a time in ms since
the epoch, in decimal digits: until then the definition's progress and rows stay. Every scorer that reads the definition
raises the time again and again; a scorer that is killed leaves a lease that lapses by itself.
"""

from __future__ import annotations

from collections.abc import Mapping

LEASE_MS = 600_000
"""How long a lease lasts after it was taken. Far longer than clocks of two machines differ, or a scorer is paused."""


def lease_key(project: str) -> bytes:
    """The Redis hash that keeps the leases of a project."""
    return f"forebay:leases:{project}".encode()


def leased(leases: Mapping[bytes, bytes], now_ms: int) -> set[bytes]:
    """The definitions, by `progress_field`, that some scorer may be reading."""
    return {field for field, until_ms in leases.items() if int(until_ms) > now_ms}
