"""Computes the largest row that a view can have, and refuses one that is too large to read with every event."""

from __future__ import annotations

from forebay.pipelines.contract.plan.durations import duration_text
from forebay.pipelines.contract.plan.views import MAX_TILES_PER_SLIDE, StreamView
from forebay.pipelines.errors import PlanError
from forebay.pipelines.steps.tile_state.frequent import CAPACITY
from forebay.pipelines.steps.tile_state.sketches import BLOCK
from forebay.pipelines.steps.tile_state.texts import MAX_TEXT_BYTES
from forebay.pipelines.steps.windows.layout import Accumulator, Kind, TileGroup, tile_groups

MAX_ROW_BYTES = 16 * 1024 * 1024
"""Of one entity in one view, if every tile held as much as it can."""

_WORD = 8
_TEXT_BYTES = MAX_TEXT_BYTES + 2
"""A text as a window keeps it, and its length."""
_SKETCH_BYTES = {
    (Kind.DISTINCT, False): 2_200 + BLOCK * _WORD,
    (Kind.DIGEST, False): 4_600 + BLOCK * _WORD,
    (Kind.FREQUENT, False): CAPACITY * 2 * _WORD + BLOCK * _WORD,
    (Kind.FREQUENT, True): CAPACITY * (_TEXT_BYTES + _WORD) + BLOCK * _TEXT_BYTES,
}
"""By kind, and whether it keeps texts: the sketch, and the values beside it (see `steps.tile_state.sketches`)."""


def check_size(view: StreamView, where: str) -> None:
    """Refuses a view whose rows can become too large.

    Raises:
        PlanError: naming the view and what to change.
    """
    total = 0
    for group in tile_groups(view):
        tiles = most_tiles(group, view.scoring_horizon_ms)
        if tiles > MAX_TILES_PER_SLIDE:
            raise PlanError(
                f"{where} keeps {tiles} tiles of {duration_text(group.slide_ms)} per entity, at most "
                f"{MAX_TILES_PER_SLIDE} are allowed; shorten its tag 'scoring_horizon', its longest window or "
                f"longest slide, or lengthen its shortest slide (tag 'resolution')"
            )
        total += tiles * tile_bytes(group)
    if total > MAX_ROW_BYTES:
        raise PlanError(
            f"{where}: a row can take {total // 1_000_000} MB, at most {MAX_ROW_BYTES // 1_000_000} are allowed; "
            f"shorten its tag 'scoring_horizon', lengthen slides, keep shorter lists (last_<n>, top_<k>), or declare "
            f"what has long slides as a view of its own: the shortest slide of a view is that of all its tiles"
        )


def most_tiles(group: TileGroup, horizon_ms: int) -> int:
    """Returns how many tiles of a group a row may keep: those that windows need as of any time in the horizon."""
    return group.tiles_kept + -(-horizon_ms // group.slide_ms)


def tile_bytes(group: TileGroup) -> int:
    """Returns the most bytes of one tile."""
    sketches = sum(_payload_bytes(sketch, kept) for sketch, kept in zip(group.sketches, group.kept, strict=True))
    return _WORD * (1 + len(group.accumulators)) + sketches


def _payload_bytes(sketch: Accumulator, kept: int) -> int:
    value_bytes = _TEXT_BYTES if sketch.text else _WORD
    if sketch.kind in (Kind.OLDEST, Kind.NEWEST):
        return kept * (_WORD + value_bytes)
    size: int = _SKETCH_BYTES[sketch.kind, sketch.text]
    return size
