"""Expiry: from when on no event that may still come finds anything of a row.

An event is accepted if it is no older than the watermark of its source partition less the allowed lateness. If it is
newer than a row by the row's whole life (its longest window, one slide and the scoring horizon, or as long as it
remembers ids), every tile of the row leaves its windows, and every id: as of any time that the new row is complete for,
the fold onto the row and that onto nothing are the same to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping

from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.contract.store.progress import NOTHING_YET, SourceProgress


def oldest_needed_ms(
    source: Source, view: StreamView, reached: Mapping[int, SourceProgress], partitions: int
) -> int | None:
    """Finds the time before which a row's newest event makes the row droppable; None while that is not known.

    Args:
        reached: by source partition; one that has brought no event yet may bring one of any age.
        partitions: of the source.
    """
    watermarks = [each.watermark_ms for each in reached.values()]
    if len(watermarks) < partitions or NOTHING_YET in watermarks:
        return None
    life_ms = max(view.state_life_ms, view.event_id.window_ms if view.event_id else 0)
    return min(watermarks) - source.allowed_lateness_of(view) - life_ms
