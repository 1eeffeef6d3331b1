"""Number the entities of a batch: distinct combinations of join key values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from forebay.pipelines.steps.arrays import Ints


class Entities(NamedTuple):
    """The distinct entities of a batch."""

    codes: Ints
    """Shape (n,): index into `values` per event; -1 where a join key is null."""
    values: list[tuple[Any, ...]]
    """Join key values per entity, in the order of the view's join keys."""


def distinct_entities(columns: Sequence[Sequence[Any]]) -> Entities:
    """Numbers the distinct combinations of join key values, in order of first appearance."""
    first, uniques = pd.factorize(np.array(columns[0], dtype=object))
    if len(columns) == 1:
        return Entities(first.astype(np.int64), [(value,) for value in uniques.tolist()])
    codes: list[int] = []
    known: dict[tuple[Any, ...], int] = {}
    values: list[tuple[Any, ...]] = []
    for combination in zip(*columns, strict=True):
        if None in combination:
            codes.append(-1)
            continue
        code = known.setdefault(combination, len(values))
        if code == len(values):
            values.append(combination)
        codes.append(code)
    return Entities(np.array(codes, dtype=np.int64), values)
