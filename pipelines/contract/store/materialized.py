"""Defines the result of a materialization, which the compiler's process reports to the command line."""

from __future__ import annotations

import msgspec


class MaterializedView(msgspec.Struct, frozen=True):
    """A batch view whose rows were copied to the store."""

    view: str
    start_ms: int
    """Event time of the first row that was read; equal to `end_ms` where nothing was left to do."""
    end_ms: int


class Materialized(msgspec.Struct, frozen=True):
    """The views that were copied, and those that were not."""

    views: list[MaterializedView]
    left: dict[str, str]
    """View -> why it is not materialized."""
