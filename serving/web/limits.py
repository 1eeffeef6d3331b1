"""The limits that every door on HTTP keeps."""

from __future__ import annotations

from typing import Protocol


class Limits(Protocol):
    """What one request, and all that wait together, may ask for."""

    @property
    def max_body_bytes(self) -> int:
        """Of one request."""
        ...

    @property
    def max_entities(self) -> int:
        """Of one request."""
        ...

    @property
    def max_batch_entities(self) -> int:
        """Answered together, over requests."""
        ...

    @property
    def max_queued_entities(self) -> int:
        """Waiting for an answer; beyond it, requests are refused as overload."""
        ...
