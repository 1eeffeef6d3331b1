"""Puts the words of many stored rows side by side, and finds their tiles among them.

Rows are read without a call per tile or group: the fields are joined once, and places follow from the numbers of tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from forebay.pipelines.steps.arrays import Floats, Ints

WORD = 8
_FIRST = bytes(WORD)


class TileShape(NamedTuple):
    """How the tiles of some groups stand in a row."""

    words: Ints
    """Shape (groups,): the tile's number, and its accumulators."""
    head_at: Ints
    """Shape (groups,): the word of the group's newest tile among those of all groups."""
    group_of_run: Ints
    """Shape (2 groups,): of a row's runs of tiles, from the last group to the first."""

    @classmethod
    def of(cls, words: Sequence[int]) -> TileShape:
        """Makes the shape of groups whose tiles have so many words."""
        sizes = np.array(words, dtype=np.int64)
        return cls(sizes, np.cumsum(sizes) - sizes, np.arange(len(words))[::-1].repeat(2))


class StoredWords:
    """The words of p rows."""

    def __init__(self, shape: TileShape, heads: Sequence[bytes], closed: Sequence[bytes], counts: Ints) -> None:
        """Args:
        heads: of each row, the newest tile of every group.
        closed: of each row, the older tiles, group by group.
        counts: shape (p, groups), how many older tiles there are.
        """
        self._shape = shape
        self._counts = counts
        data = b"".join((_FIRST, *heads, *closed))
        self.words: Floats = np.frombuffer(data, dtype="<f8")
        """A word of 0, then those of all tiles."""
        self.whole: Ints = self.words.view("<i8")
        """The same as whole numbers."""
        sizes = counts * shape.words
        ends = np.cumsum(sizes).reshape(sizes.shape)
        heads_words = int(shape.words.sum())
        self._closed_at = 1 + len(counts) * heads_words + ends - sizes
        self._head_at = 1 + heads_words * np.arange(len(counts))[:, np.newaxis] + shape.head_at

    def places(self) -> tuple[Ints, Ints]:
        """Finds where the tiles begin in `words`: by row, then from the last group to the first, and then by time.

        Returns:
            The places, and the group of each tile.
        """
        # Of each row and group a run of older tiles, and one of a single tile.
        runs = np.ones((*self._counts.shape, 2), dtype=np.int64)
        runs[..., 0] = self._counts[:, ::-1]
        first = np.empty_like(runs)
        first[..., 0], first[..., 1] = self._closed_at[:, ::-1], self._head_at[:, ::-1]
        sizes = runs.ravel()
        run = np.arange(len(sizes)).repeat(sizes)
        group = self._shape.group_of_run.take(run, mode="wrap")
        before = sizes.cumsum() - sizes
        rank = np.arange(len(run)) - before.take(run)
        return first.ravel().take(run) + rank * self._shape.words.take(group), group
