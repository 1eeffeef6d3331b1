"""What a feature's type can't say is null, wherever it is asked: infinity, and numbers beyond the type's range."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.steps.arrays import Floats

_LARGEST = {
    DataType.INT32: 2.0**31 - 1,
    DataType.INT64: 2.0**63 - 2**10,
    DataType.FLOAT32: float(np.finfo(np.float32).max),
}
_LARGEST_FLOAT = float(np.finfo(np.float64).max)


class Fitting:
    """Makes numbers of windows values of their features' types."""

    def __init__(self, elements: Sequence[DataType]) -> None:
        """Args:
        elements: type of each feature.
        """
        self._times = [at for at, each in enumerate(elements) if each is DataType.UNIX_TIMESTAMP]
        self._largest = np.array([[_LARGEST.get(each, _LARGEST_FLOAT)] for each in elements]).reshape(-1, 1)

    def __call__(self, numbers: Floats) -> Floats:
        """Turns numbers into values of the features' types, shape (features, n); what a type can't hold is NaN.

        Args:
            numbers: shape (features, n); may be written to.
        """
        if self._times:
            # Times of events are milliseconds here, and whole seconds to Feast.
            numbers[self._times] = np.floor(numbers[self._times] / 1_000)
        beyond = np.abs(numbers) > self._largest
        return np.where(beyond, np.nan, numbers) if beyond.any() else numbers
