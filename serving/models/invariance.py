"""Finds out whether a model gives a row the same bits alone and in company.

Kernels of matrix products choose the order of their additions by the shape of the batch. Such a model gives an event
other last bits when it is scored again in another batch.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.errors import ModelError
from forebay.pipelines.steps.arrays import Column, objects
from forebay.serving.models.model import Model

ROWS = 64

_LIST_LENGTH = 3


def is_batch_invariant(model: Model, features: Mapping[str, DataType]) -> bool | None:
    """Tells whether random rows have the same scores alone as together, to the bit; None: the model refuses such rows.

    False is certain, True is likely: only so many rows are tried.

    Args:
        features: of the model's service: full name -> type, in order.
    """
    random = np.random.default_rng(0)
    columns = {name: _column(random, dtype) for name, dtype in features.items()}
    try:
        together = model.run(columns).scores
        alone = [
            model.run({name: column[at : at + 1] for name, column in columns.items()}).scores for at in range(ROWS)
        ]
    except ModelError:
        return None
    return all(
        np.array(scores).tobytes() == np.concatenate([each[name] for each in alone]).tobytes()
        for name, scores in together.items()
    )


def _column(random: np.random.Generator, dtype: DataType) -> Column:
    if dtype.is_list:
        return objects([_values(random, dtype.element, _LIST_LENGTH).tolist() for _ in range(ROWS)])
    return _values(random, dtype, ROWS)


def _values(random: np.random.Generator, dtype: DataType, count: int) -> Column:
    if dtype is DataType.STRING:
        return random.integers(0, 9, count).astype(str).astype(object)
    if dtype in (DataType.FLOAT32, DataType.FLOAT64):
        return random.normal(scale=10.0, size=count)
    return random.integers(0, 2 if dtype is DataType.BOOL else 100, count).astype(np.float64)
