"""Computes what a score would be without one feature, or without one event.

Occlusion, one at a time: the difference says how much the score hangs on this one while all others stay. Differences do
not add up to the score, and two features that say the same may both show none.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.steps.arrays import Column
from forebay.serving.features.columns import to_column, to_values
from forebay.serving.models.model import Model

Effect = dict[str, float]
"""Score name -> the score as it is less the score without."""


def effects_of_features(
    model: Model, columns: Mapping[str, Column], features: Mapping[str, DataType], scores: Mapping[str, float]
) -> dict[str, Effect | None]:
    """Computes, per feature, its effect; None where the model can't do without: its input holds no null.

    Args:
        columns: each of shape (1,), the features that were scored.
        features: full name -> type, in order.
        scores: what they were scored with.
    """
    names = list(features)
    # Row i lacks feature i: one run of the model for all.
    rows = {
        name: to_column(
            [_missing(dtype) if at == row else to_values(columns[name], dtype)[0] for row in range(len(names))], dtype
        )
        for at, (name, dtype) in enumerate(features.items())
    }
    answer = model.run(rows)
    return {
        name: None
        if row in answer.refusals
        else {score: difference(scores[score], values[row]) for score, values in answer.scores.items()}
        for row, name in enumerate(names)
    }


def difference(score: float, without: float) -> float:
    """Subtracts what the score would be from the score; 0 where both are no number, NaN where one of the two is."""
    return 0.0 if np.isnan(score) and np.isnan(without) else score - without


def _missing(dtype: DataType) -> list[object] | None:
    return [] if dtype.is_list else None
