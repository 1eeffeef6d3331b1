"""Flat tiles: those of all groups of a view side by side, so that one pass evaluates every window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from forebay.pipelines.steps.arrays import Floats, Ints, Payloads
from forebay.pipelines.steps.windows.fold import Tiles
from forebay.pipelines.steps.windows.layout import TileGroup


class FlatTiles(NamedTuple):
    """Tiles of all groups for many entities, sorted by entity; those of an entity by (group descending, tile).

    The newest part of a window is in tiles of group 0, so each window's tiles are in the order of time.
    """

    entity: Ints
    """Shape (r,): index of the entity within the batch."""
    group: Ints
    """Shape (r,)."""
    start_ms: Ints
    """Shape (r,)."""
    at: Ints
    """Shape (r,): where the tile's first accumulator stands in `words`."""
    words: Floats
    """A word of 0, then the accumulators of all tiles; those of a tile stand side by side, in its group's order."""
    sketches: Payloads
    """Shape (r, sketches of group 0); None of a sketch that the tile's group does not have."""


def flat_tiles(groups: Sequence[TileGroup], tiles: Sequence[Tiles]) -> FlatTiles:
    """Puts the tiles of all groups side by side.

    Args:
        tiles: per group.
    """
    counts = [len(each.entity) for each in tiles]
    at, first = [], 1
    for group, count in zip(groups, counts, strict=True):
        width = len(group.accumulators)
        at.append(first + np.arange(count) * width)
        first += count * width
    entity = np.concatenate([each.entity for each in reversed(tiles)])
    order = np.argsort(entity, kind="stable")
    starts = [each.tile * group.slide_ms for group, each in zip(groups, tiles, strict=True)]
    return FlatTiles(
        entity[order],
        np.repeat(np.arange(len(groups))[::-1], counts[::-1])[order],
        np.concatenate(starts[::-1])[order],
        np.concatenate(at[::-1])[order],
        np.concatenate([np.zeros(1), *(each.values.ravel() for each in tiles)]),
        flat_sketches(groups, [each.sketches for each in tiles])[order],
    )


def flat_sketches(groups: Sequence[TileGroup], sketches: Sequence[Payloads]) -> Payloads:
    """Puts the sketches of all groups one after another, those of the last group first.

    Args:
        sketches: per group, shape (r, sketches of the group).

    Returns:
        Shape (all r, sketches of group 0); None of a sketch that a group does not have.
    """
    columns = [[groups[0].sketches.index(each) for each in group.sketches] for group in groups]
    out = np.empty((sum(len(each) for each in sketches), len(groups[0].sketches)), dtype=object)
    first = 0
    for where, each in zip(reversed(columns), reversed(sketches), strict=True):
        out[first : first + len(each), where] = each
        first += len(each)
    return out
